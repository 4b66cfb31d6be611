//! The journal: one line for each acknowledgement, and for each change that is about to be asked for.

use std::{
    collections::HashMap,
    fs,
    io::Write as _,
    path::Path,
    sync::{Mutex, PoisonError},
};

use anyhow::Context as _;

use crate::talk::Frame;

/// One line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Line {
    /// A credential of the frame around the workload: the operator's, or a tenant admin's. Acknowledged.
    Admin { secret: String },
    /// The user who owns the workload's tokens. Acknowledged.
    User { id: String },
    /// A token was issued. Acknowledged.
    Issued { id: String, secret: String },
    /// A revocation will be asked for.
    Revoking { id: String },
    /// It was acknowledged.
    Revoked { id: String },
    /// A rotation will be asked for.
    Rotating { id: String },
    /// It was acknowledged, with this generation and secret.
    Rotated {
        id: String,
        generation: u64,
        secret: String,
    },
}

impl Line {
    fn text(&self) -> String {
        match self {
            Self::Admin { secret } => format!("A {secret}\n"),
            Self::User { id } => format!("U {id}\n"),
            Self::Issued { id, secret } => format!("I {id} {secret}\n"),
            Self::Revoking { id } => format!("r {id}\n"),
            Self::Revoked { id } => format!("R {id}\n"),
            Self::Rotating { id } => format!("o {id}\n"),
            Self::Rotated {
                id,
                generation,
                secret,
            } => format!("O {id} {generation} {secret}\n"),
        }
    }

    fn read(text: &str) -> anyhow::Result<Self> {
        let words: Vec<&str> = text.split(' ').collect();
        let own = |text: &&str| (*text).to_owned();
        Ok(match &words[..] {
            ["A", secret] => Self::Admin {
                secret: own(secret),
            },
            ["U", id] => Self::User { id: own(id) },
            ["I", id, secret] => Self::Issued {
                id: own(id),
                secret: own(secret),
            },
            ["r", id] => Self::Revoking { id: own(id) },
            ["R", id] => Self::Revoked { id: own(id) },
            ["o", id] => Self::Rotating { id: own(id) },
            ["O", id, generation, secret] => Self::Rotated {
                id: own(id),
                generation: generation.parse().context("a generation")?,
                secret: own(secret),
            },
            _ => anyhow::bail!("the journal holds {text:?}"),
        })
    }
}

/// The writing end.
pub(crate) struct Journal(Mutex<fs::File>);

impl Journal {
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        let file = fs::OpenOptions::new().append(true).create(true).open(path);
        Ok(Self(Mutex::new(file.context("opening the journal")?)))
    }

    pub(crate) fn note(&self, line: &Line) -> anyhow::Result<()> {
        let mut file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        file.write_all(line.text().as_bytes())
            .context("writing the journal")
    }
}

/// The lines that were whole when the file had `bytes`, and the lines after those.
pub(crate) fn read(path: &Path, bytes: u64) -> anyhow::Result<(Vec<Line>, Vec<Line>)> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error).context("reading the journal"),
    };
    let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
    let (mut before, mut after, mut at) = (Vec::new(), Vec::new(), 0);
    for line in text.split_inclusive('\n') {
        at += line.len();
        let Some(whole) = line.strip_suffix('\n') else {
            break;
        };
        let line = Line::read(whole)?;
        if at <= bytes {
            before.push(line);
        } else {
            after.push(line);
        }
    }
    Ok((before, after))
}

/// What surrounds the workload, if all of it was acknowledged.
pub(crate) fn frame(lines: &[Line]) -> Option<Frame> {
    let mut admins = lines.iter().filter_map(|line| {
        if let Line::Admin { secret } = line {
            Some(secret.clone())
        } else {
            None
        }
    });
    let (operator, admin) = (admins.next()?, admins.next()?);
    let user = lines.iter().find_map(|line| {
        if let Line::User { id } = line {
            Some(id.clone())
        } else {
            None
        }
    })?;
    Some(Frame {
        operator,
        admin,
        user,
    })
}

/// What must be true of one token.
#[derive(Clone, Default, Debug)]
pub(crate) struct Due {
    /// Every secret it was acknowledged to have, the youngest last, with its generation.
    pub(crate) secrets: Vec<(u64, String)>,
    /// Its revocation was acknowledged.
    pub(crate) revoked: bool,
    /// Its revocation may have been carried out.
    pub(crate) maybe_revoked: bool,
    /// So many further rotations may have been carried out.
    pub(crate) maybe_rotated: u64,
}

/// What must be true after a power cut.
#[derive(Default)]
pub(crate) struct Expected {
    /// Of tokens, by id.
    pub(crate) tokens: HashMap<String, Due>,
    /// Credentials that must work.
    pub(crate) admins: Vec<String>,
    /// How many operations were acknowledged.
    pub(crate) acknowledged: u64,
}

impl Expected {
    /// From the lines that were written before the cut, and those written after it.
    pub(crate) fn of(before: &[Line], after: &[Line]) -> Self {
        let mut expected = Self::default();
        for line in before {
            expected.fold(line, Knowledge::Acknowledged);
        }
        for line in after {
            expected.fold(line, Knowledge::Possible);
        }
        expected
    }

    fn fold(&mut self, line: &Line, knowledge: Knowledge) {
        let certain = knowledge == Knowledge::Acknowledged;
        let mut count = u64::from(certain);
        match line {
            Line::Admin { secret } if certain => self.admins.push(secret.clone()),
            Line::User { .. } | Line::Admin { .. } => {}
            Line::Issued { id, secret } => {
                if certain {
                    let due = self.tokens.entry(id.clone()).or_default();
                    due.secrets.push((0, secret.clone()));
                }
            }
            Line::Revoking { id } => {
                count = 0;
                if let Some(due) = self.tokens.get_mut(id) {
                    due.maybe_revoked = true;
                }
            }
            Line::Revoked { id } => {
                if let Some(due) = self.tokens.get_mut(id) {
                    due.revoked |= certain;
                }
            }
            Line::Rotating { id } => {
                count = 0;
                if let Some(due) = self.tokens.get_mut(id) {
                    due.maybe_rotated += 1;
                }
            }
            Line::Rotated {
                id,
                generation,
                secret,
            } => {
                if let Some(due) = self.tokens.get_mut(id).filter(|_| certain) {
                    due.secrets.push((*generation, secret.clone()));
                    due.maybe_rotated = 0;
                }
            }
        }
        self.acknowledged += count;
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Knowledge {
    /// The line was there before the cut.
    Acknowledged,
    /// The line came after it: what it asks for may have been done or not.
    Possible,
}
