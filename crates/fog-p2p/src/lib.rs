//! One message layer over all roads
