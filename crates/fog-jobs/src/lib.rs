//! Jobs, sandboxes and receipts
