//! Sphinx mixnet
