//! Puts the parts together into one node
