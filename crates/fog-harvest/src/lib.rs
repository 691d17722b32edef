//! Sensors and the policy that says when a device may work
