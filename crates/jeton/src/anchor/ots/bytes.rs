//! A proof's bytes: numbers, bounded runs of bytes, and the tree, which is written from its root to its leaves.

use super::{
    ATTESTATION, Attestation, BITCOIN, DEPTH_MAX, MESSAGE_BYTES_MAX, MORE, Op, OtsError,
    PAYLOAD_BYTES_MAX, PENDING, SHA256, STEPS_MAX, Stamp, Tag, URI_BYTES_MAX, URI_MARKS,
};

/// Takes from the front of the bytes.
pub(super) struct Reader<'a> {
    rest: &'a [u8],
    steps: usize,
}

impl<'a> Reader<'a> {
    pub(super) const fn of(bytes: &'a [u8], most: usize) -> Result<Self, OtsError> {
        if bytes.len() > most {
            let actual = bytes.len();
            return Err(OtsError::TooLong { actual, most });
        }
        Ok(Self {
            rest: bytes,
            steps: 0,
        })
    }

    pub(super) const fn end(&self) -> Result<(), OtsError> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(OtsError::Trailing)
        }
    }

    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], OtsError> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(OtsError::CutOff)?;
        self.rest = rest;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], OtsError> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(OtsError::CutOff)?;
        self.rest = rest;
        Ok(*taken)
    }

    pub(super) fn byte(&mut self) -> Result<u8, OtsError> {
        self.array().map(|[byte]| byte)
    }

    /// Seven bits a byte, the lowest first; the shortest spelling alone is a number.
    pub(super) fn number(&mut self) -> Result<u64, OtsError> {
        let mut number = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if bits.leading_zeros() < shift || (byte == 0 && shift > 0) {
                return Err(OtsError::Number);
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(OtsError::Number)
    }

    fn bytes(&mut self, what: &'static str, most: usize) -> Result<&'a [u8], OtsError> {
        let length = usize::try_from(self.number()?)
            .ok()
            .filter(|length| *length <= most);
        self.take(length.ok_or(OtsError::Length { what })?)
    }

    pub(super) fn stamp(
        &mut self,
        message: Option<&[u8]>,
        depth: usize,
    ) -> Result<Stamp, OtsError> {
        if depth >= DEPTH_MAX {
            return Err(OtsError::TooManySteps);
        }
        let mut stamp = Stamp::default();
        loop {
            let first = self.byte()?;
            let tag = if first == MORE { self.byte()? } else { first };
            self.steps += 1;
            if self.steps > STEPS_MAX {
                return Err(OtsError::TooManySteps);
            }
            if tag == ATTESTATION {
                stamp.attestations.insert(self.attestation()?);
            } else {
                let op = self.op(tag)?;
                let next = message.map(|m| op.apply(m)).transpose()?.flatten();
                let below = self.stamp(next.as_deref(), depth + 1)?;
                stamp.edges.entry(op).or_default().merge(below);
            }
            if first != MORE {
                return Ok(stamp);
            }
        }
    }

    fn op(&mut self, tag: u8) -> Result<Op, OtsError> {
        Ok(match tag {
            0x02 => Op::Sha1,
            0x03 => Op::Ripemd160,
            SHA256 => Op::Sha256,
            0x67 => Op::Keccak256,
            0xf0 => Op::Append(self.argument()?),
            0xf1 => Op::Prepend(self.argument()?),
            0xf2 => Op::Reverse,
            0xf3 => Op::Hexlify,
            other => return Err(OtsError::Operation(other)),
        })
    }

    fn argument(&mut self) -> Result<Vec<u8>, OtsError> {
        let what = "an argument";
        let argument = self.bytes(what, MESSAGE_BYTES_MAX)?;
        if argument.is_empty() {
            return Err(OtsError::Length { what });
        }
        Ok(argument.to_vec())
    }

    fn attestation(&mut self) -> Result<Attestation, OtsError> {
        let tag: Tag = self.array()?;
        let payload = self.bytes("an attestation", PAYLOAD_BYTES_MAX)?;
        let mut content = Reader {
            rest: payload,
            steps: 0,
        };
        let attestation = match tag {
            BITCOIN => Attestation::Bitcoin {
                height: content.number()?,
            },
            PENDING => {
                let uri = content.bytes("a URI", URI_BYTES_MAX)?;
                let plain = |b: &u8| b.is_ascii_alphanumeric() || URI_MARKS.contains(b);
                let uri = String::from_utf8(uri.to_vec()).ok();
                let uri = uri.filter(|uri| uri.as_bytes().iter().all(plain));
                Attestation::Pending {
                    uri: uri.ok_or(OtsError::Uri)?,
                }
            }
            tag => {
                return Ok(Attestation::Unknown {
                    tag,
                    payload: payload.to_vec(),
                });
            }
        };
        content.end().map_err(|_| OtsError::Attestation)?;
        Ok(attestation)
    }
}

/// Seven bits a byte, the lowest first.
pub(super) fn write_number(mut number: u64, out: &mut Vec<u8>) {
    loop {
        let [low, ..] = number.to_le_bytes();
        number >>= 7;
        if number == 0 {
            out.push(low & 0x7f);
            return;
        }
        out.push(low | 0x80);
    }
}

/// Bytes behind their number.
pub(super) fn write_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    // No machine has a length that does not fit.
    write_number(u64::try_from(bytes.len()).unwrap_or(u64::MAX), out);
    out.extend_from_slice(bytes);
}
