//! A program's memory as the host's calls see it: every address is checked.

/// An error number of WASI preview 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
pub(in crate::worker) enum Errno {
    BadFile = 8,
    Exists = 20,
    Fault = 21,
    Invalid = 28,
    Io = 29,
    IsFolder = 31,
    TooManyOpen = 33,
    NameTooLong = 37,
    NoEntry = 44,
    NoSystemCall = 52,
    NotFolder = 54,
    NotEmpty = 55,
    NotSupported = 58,
    Overflow = 61,
    ReadOnly = 69,
    IsPipe = 70,
    NotCapable = 76,
}

/// A program's memory.
pub(in crate::worker) struct Guest<'a>(pub(in crate::worker) &'a mut [u8]);

impl Guest<'_> {
    pub(super) fn bytes(&self, at: u32, len: u32) -> Result<&[u8], Errno> {
        let end = (at as usize).checked_add(len as usize).ok_or(Errno::Fault)?;
        self.0.get(at as usize..end).ok_or(Errno::Fault)
    }

    pub(super) fn bytes_mut(&mut self, at: u32, len: u32) -> Result<&mut [u8], Errno> {
        let end = (at as usize).checked_add(len as usize).ok_or(Errno::Fault)?;
        self.0.get_mut(at as usize..end).ok_or(Errno::Fault)
    }

    pub(super) fn put(&mut self, at: u32, bytes: &[u8]) -> Result<(), Errno> {
        let len = u32::try_from(bytes.len()).map_err(|_| Errno::Overflow)?;
        self.bytes_mut(at, len)?.copy_from_slice(bytes);
        Ok(())
    }

    pub(super) fn put_u32(&mut self, at: u32, value: u32) -> Result<(), Errno> {
        self.put(at, &value.to_le_bytes())
    }

    pub(super) fn put_u64(&mut self, at: u32, value: u64) -> Result<(), Errno> {
        self.put(at, &value.to_le_bytes())
    }

    fn array<const N: usize>(&self, at: u32) -> Result<[u8; N], Errno> {
        self.bytes(at, N as u32)?.try_into().map_err(|_| Errno::Fault)
    }

    pub(super) fn u16(&self, at: u32) -> Result<u16, Errno> {
        Ok(u16::from_le_bytes(self.array(at)?))
    }

    pub(super) fn u32(&self, at: u32) -> Result<u32, Errno> {
        Ok(u32::from_le_bytes(self.array(at)?))
    }

    pub(super) fn u64(&self, at: u32) -> Result<u64, Errno> {
        Ok(u64::from_le_bytes(self.array(at)?))
    }

    pub(super) fn text(&self, at: u32, len: u32) -> Result<String, Errno> {
        if len > 4096 {
            return Err(Errno::NameTooLong);
        }
        let bytes = self.bytes(at, len)?;
        String::from_utf8(bytes.to_vec()).map_err(|_| Errno::Invalid)
    }

    /// The parts of a list of buffers (address and length each).
    pub(super) fn parts(&self, list: u32, count: u32) -> Result<Vec<(u32, u32)>, Errno> {
        if count > 1024 {
            return Err(Errno::Invalid);
        }
        let mut parts = Vec::new();
        for index in 0..count {
            let at = list.checked_add(index * 8).ok_or(Errno::Fault)?;
            parts.push((self.u32(at)?, self.u32(at.checked_add(4).ok_or(Errno::Fault)?)?));
        }
        Ok(parts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_address_leads_out() {
        let mut memory = [0u8; 16];
        let mut guest = Guest(&mut memory);
        assert_eq!(guest.bytes(8, 8).unwrap().len(), 8);
        assert_eq!(guest.bytes(9, 8).unwrap_err(), Errno::Fault);
        assert_eq!(guest.bytes(u32::MAX, u32::MAX).unwrap_err(), Errno::Fault);
        assert_eq!(guest.put_u64(9, 1).unwrap_err(), Errno::Fault);
        assert_eq!(guest.parts(u32::MAX - 3, 2).unwrap_err(), Errno::Fault);
        assert_eq!(guest.parts(0, 2000).unwrap_err(), Errno::Invalid);
    }
}
