//! Owners as the check needs them: side by side, so that a check finds its token's owner with one look.

use std::collections::HashMap;

use jeton_core::{
    check::judge::{Owner, OwnerRights},
    directory::{Directory, Inapplicable},
    id::Id,
    permit::Permit,
    subject::{Standing, Subject, SubjectId},
};

use crate::prefetch::prefetch;

/// One owner in 32 bytes: never across two cache lines.
#[derive(Clone, Copy)]
#[repr(C, align(32))]
struct Compact {
    id: [u8; 16],
    tenant: u32,
    rights: u32,
    /// 61 bits of cut-off, 2 of standing, 1 that tells an application from a user.
    word: u64,
}

const _: () = assert!(size_of::<Compact>() == 32);
const STANDING_BITS: u32 = 2;
const KIND_BITS: u32 = 1;

impl Compact {
    fn word(subject: &Subject) -> u64 {
        let standing = match subject.standing {
            Standing::Active => 0,
            Standing::Suspended => 1,
            Standing::Deleted => 2,
        };
        let kind = u64::from(matches!(subject.id, SubjectId::App(_)));
        subject.cut_off << (STANDING_BITS + KIND_BITS) | standing << KIND_BITS | kind
    }

    fn id(&self) -> SubjectId {
        match self.word & 1 {
            0 => SubjectId::User(Id::from_bytes(self.id)),
            _ => SubjectId::App(Id::from_bytes(self.id)),
        }
    }

    fn standing(&self) -> Standing {
        match self.word >> KIND_BITS & 3 {
            0 => Standing::Active,
            1 => Standing::Suspended,
            _ => Standing::Deleted,
        }
    }

    fn cut_off(&self) -> u64 {
        self.word >> (STANDING_BITS + KIND_BITS)
    }
}

/// Where rights come from; few owners differ in this.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Kept {
    Roles(Box<[u32]>),
    Own(Box<Permit>),
}

/// All owners, by their slots in the directory.
#[derive(Default)]
pub struct Owners {
    compact: Vec<Compact>,
    rights: Vec<Kept>,
    numbers: HashMap<Kept, u32>,
}

impl Owners {
    /// The owners of a directory.
    ///
    /// # Errors
    /// [`Inapplicable`] if a subject has no tenant.
    pub fn of(directory: &Directory) -> Result<Self, Inapplicable> {
        let mut owners = Self::default();
        owners.catch_up(directory)?;
        Ok(owners)
    }

    /// Takes on the subjects that the directory has and this has not.
    ///
    /// # Errors
    /// As [`Owners::of`].
    pub fn catch_up(&mut self, directory: &Directory) -> Result<(), Inapplicable> {
        for slot in self.compact.len()..directory.subjects_len() {
            let slot = u32::try_from(slot).map_err(|_| Inapplicable("more than 2^32 subjects"))?;
            self.refresh(slot, directory)?;
        }
        Ok(())
    }

    /// Takes on a subject as the directory has it now.
    ///
    /// # Errors
    /// As [`Owners::of`].
    pub fn refresh(&mut self, slot: u32, directory: &Directory) -> Result<(), Inapplicable> {
        let subject = directory
            .subject_at(slot)
            .ok_or(Inapplicable("no such subject"))?;
        let tenant = directory.tenant_slot(subject.tenant);
        let fresh = Compact {
            id: *subject.id.bytes(),
            tenant: tenant.ok_or(Inapplicable("a subject without tenant"))?,
            rights: self.number_of(subject)?,
            word: Compact::word(subject),
        };
        let at = usize::try_from(slot).unwrap_or(usize::MAX);
        let next = self.compact.len();
        match self.compact.get_mut(at) {
            Some(known) => *known = fresh,
            None if at == next => self.compact.push(fresh),
            None => {
                return Err(Inapplicable(
                    "a subject comes before one with a smaller slot",
                ));
            }
        }
        Ok(())
    }

    fn number_of(&mut self, subject: &Subject) -> Result<u32, Inapplicable> {
        let kept = match &subject.permit {
            Some(permit) => Kept::Own(Box::new(permit.clone())),
            None => Kept::Roles(subject.roles.as_slice().into()),
        };
        if let Some(number) = self.numbers.get(&kept) {
            return Ok(*number);
        }
        let number = u32::try_from(self.rights.len());
        let number = number.map_err(|_| Inapplicable("more than 2^32 different rights"))?;
        self.rights.push(kept.clone());
        self.numbers.insert(kept, number);
        Ok(number)
    }

    /// An owner is on its way, so that a batch can have its cache misses at once.
    pub fn begin(&self, slot: u32) {
        let at = usize::try_from(slot).unwrap_or(usize::MAX);
        if let Some(owner) = self.compact.get(at) {
            prefetch(owner);
        }
    }

    /// An owner as the judge sees it, and the slot of its tenant.
    #[must_use]
    pub fn get(&self, slot: u32) -> Option<(Owner<'_>, u32)> {
        let compact = self.compact.get(usize::try_from(slot).ok()?)?;
        let rights = match self.rights.get(usize::try_from(compact.rights).ok()?)? {
            Kept::Roles(slots) => OwnerRights::Roles(slots),
            Kept::Own(permit) => OwnerRights::Own(permit),
        };
        let owner = Owner {
            id: compact.id(),
            standing: compact.standing(),
            cut_off: compact.cut_off(),
            rights,
        };
        Some((owner, compact.tenant))
    }
}
