//! Nostr events on their way to or from a gateway. Only the frame is read here: who bridges is not trusted.

use crate::error::{DecodeError, EncodeError, exact, fits, text};
use crate::tlv::{Fields, Width, Writer, once};

/// The longest event, bytes.
pub const MAX_EVENT: usize = 16 << 10;

/// Where an event goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the mesh to a gateway.
    ToGateway,
    /// From a gateway into the mesh.
    FromGateway,
    /// From the mesh to a bridge.
    ToBridge,
    /// From a bridge into the mesh.
    FromBridge,
}

impl Direction {
    /// All directions, from number 1.
    pub const ALL: [Self; 4] = [Self::ToGateway, Self::FromGateway, Self::ToBridge, Self::FromBridge];

    /// The number on the wire.
    pub fn number(self) -> u8 {
        match self {
            Self::ToGateway => 1,
            Self::FromGateway => 2,
            Self::ToBridge => 3,
            Self::FromBridge => 4,
        }
    }
}

/// An event in its frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NostrCarrier<'a> {
    /// Where it goes.
    pub direction: Direction,
    /// The place that it belongs to.
    pub geohash: Option<&'a str>,
    /// The signed event, JSON.
    pub event: &'a str,
}

impl<'a> NostrCarrier<'a> {
    /// Reads the payload.
    ///
    /// # Errors
    /// When a field is cut off, missing, double or too long.
    pub fn decode(payload: &'a [u8]) -> Result<Self, DecodeError> {
        let (mut direction, mut geohash, mut event) = (None, None, None);
        let mut fields = Fields::new(payload, Width::Two);
        while let Some((kind, value)) = fields.next()? {
            match kind {
                1 => {
                    let [number] = exact(value, "the direction")?;
                    let known = Direction::ALL.into_iter().find(|d| d.number() == number);
                    let unknown = DecodeError::Invalid { what: "the direction", why: "not 1 to 4" };
                    once(&mut direction, known.ok_or(unknown)?, "the direction")?;
                }
                2 => once(&mut geohash, text(value, "the geohash")?, "the geohash")?,
                3 if value.len() > MAX_EVENT => {
                    return Err(DecodeError::TooLong { what: "the event", len: value.len(), max: MAX_EVENT });
                }
                3 => once(&mut event, text(value, "the event")?, "the event")?,
                _ => {}
            }
        }
        Ok(Self {
            direction: direction.ok_or(DecodeError::Missing("the direction"))?,
            geohash,
            event: event.ok_or(DecodeError::Missing("the event"))?,
        })
    }

    /// The payload.
    ///
    /// # Errors
    /// When the event is too long.
    pub fn encode(&self) -> Result<Vec<u8>, EncodeError> {
        fits("the event", self.event.len(), MAX_EVENT)?;
        let mut out = Writer::new(Width::Two);
        out.field(1, &[self.direction.number()], "the direction")?;
        if let Some(geohash) = self.geohash {
            out.field(2, geohash.as_bytes(), "the geohash")?;
        }
        out.field(3, self.event.as_bytes(), "the event")?;
        Ok(out.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn carriers_survive() {
        for direction in Direction::ALL {
            let carrier = NostrCarrier { direction, geohash: Some("u33d"), event: "{}" };
            assert_eq!(NostrCarrier::decode(&carrier.encode().unwrap()), Ok(carrier));
        }
        assert!(NostrCarrier::decode(&[1, 0, 1, 5, 3, 0, 0]).is_err());
        let long = "x".repeat(MAX_EVENT + 1);
        assert!(
            NostrCarrier { direction: Direction::ToGateway, geohash: None, event: &long }.encode().is_err()
        );
    }
}
