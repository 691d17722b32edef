//! What a SOCKS5 client is told.

use crate::descriptor::DescriptorError;
use crate::stream::{End, Refusal};

/// The answer to a request (RFC 1928, section 6). Those from 0xF0 on are Tor's, which programs made for onion services
/// know; others are told the [basic](Self::basic) one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Reply {
    /// The stream is open.
    Succeeded = 0,
    /// Something else went wrong.
    GeneralFailure = 1,
    /// The settings, or the other side's, do not allow it.
    NotAllowed = 2,
    /// The network cannot be reached.
    NetworkUnreachable = 3,
    /// The host cannot be reached, or there is none.
    HostUnreachable = 4,
    /// The host refused the connection.
    ConnectionRefused = 5,
    /// It took too long.
    TtlExpired = 6,
    /// The command is not CONNECT.
    CommandNotSupported = 7,
    /// The address is of an unknown type.
    AddressTypeNotSupported = 8,
    /// No descriptor of the hidden service was found: it is not there, or its name is wrong.
    DescriptorNotFound = 0xf0,
    /// The descriptor of the hidden service is not valid.
    DescriptorInvalid = 0xf1,
    /// No introduction point could be reached.
    IntroductionFailed = 0xf2,
    /// The service did not come to the rendezvous.
    RendezvousFailed = 0xf3,
    /// The name of the hidden service is mistyped.
    BadAddress = 0xf6,
    /// The introduction was not answered in time.
    IntroductionTimedOut = 0xf7,
}

impl Reply {
    /// The nearest of RFC 1928.
    pub fn basic(self) -> Self {
        match self {
            Self::DescriptorNotFound
            | Self::IntroductionFailed
            | Self::RendezvousFailed
            | Self::BadAddress => Self::HostUnreachable,
            Self::DescriptorInvalid => Self::GeneralFailure,
            Self::IntroductionTimedOut => Self::TtlExpired,
            basic => basic,
        }
    }

    /// The reply's bytes. The address in it is 0.0.0.0, port 0: what binds is far away and not to be known.
    pub fn encode(self, extended: bool) -> [u8; 10] {
        let code = if extended { self } else { self.basic() } as u8;
        [super::VERSION, code, 0, super::ADDRESS_V4, 0, 0, 0, 0, 0, 0]
    }
}

impl From<Refusal> for Reply {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::General | Refusal::Busy => Self::GeneralFailure,
            Refusal::NotAllowed => Self::NotAllowed,
            Refusal::NetworkUnreachable => Self::NetworkUnreachable,
            Refusal::HostUnreachable => Self::HostUnreachable,
            Refusal::ConnectionRefused => Self::ConnectionRefused,
            Refusal::TimedOut => Self::TtlExpired,
        }
    }
}

impl From<End> for Reply {
    fn from(end: End) -> Self {
        match end {
            End::Silence => Self::TtlExpired,
            End::Closed | End::ByPeer(_) | End::Violation => Self::GeneralFailure,
        }
    }
}

impl From<&DescriptorError> for Reply {
    fn from(error: &DescriptorError) -> Self {
        match error {
            DescriptorError::Expired(_) => Self::DescriptorNotFound,
            _ => Self::DescriptorInvalid,
        }
    }
}
