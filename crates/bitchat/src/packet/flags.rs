//! What a packet carries besides its body.

/// The header's flags. Bits without a name are kept as they came.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Flags(pub u8);

impl Flags {
    /// There is a recipient.
    pub const RECIPIENT: u8 = 0x01;
    /// There is a signature.
    pub const SIGNATURE: u8 = 0x02;
    /// The body is compressed.
    pub const COMPRESSED: u8 = 0x04;
    /// There is a route (version 2 only; in version 1 it means nothing).
    pub const ROUTE: u8 = 0x08;
    /// "RSR": the packet answers a request to synchronise. Not signed: believe it only after having asked.
    pub const SYNC_REPLY: u8 = 0x10;
    /// All bits that have a meaning.
    pub const KNOWN: u8 = 0x1f;

    /// Whether all bits of `mask` are set.
    pub fn has(self, mask: u8) -> bool {
        self.0 & mask == mask
    }
}
