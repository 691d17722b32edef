//! Properties of the engine, over nodes and links in memory.

mod net;
mod properties;
mod restart;
mod rules;
