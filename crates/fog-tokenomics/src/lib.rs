//! Ledger, staking, governance and settlement
