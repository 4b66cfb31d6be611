//! Reading a policy: line by line, and no name before the line that defines it.

use super::quorum::{Group, Member, Quorum};
use super::{
    LineFault, POLICY_BYTES_MAX, POLICY_ITEMS_MAX, POLICY_NAME_BYTES_MAX, POLICY_URL_BYTES_MAX,
    Policy, PolicyError, PolicyLog, PolicyWitness,
};
use crate::cosignature::WitnessKey;
use crate::key::VerifierKey;
use crate::tile::parse_decimal;

const LOG: &str = "log <vkey> [<url>]";
const WITNESS: &str = "witness <name> <vkey> [<url>]";
const GROUP: &str = "group <name> any|all|<k> <name>...";
const QUORUM: &str = "quorum <name>|none";

/// The name that no witness or group may have.
const NONE: &str = "none";

/// What has been read so far.
#[derive(Default)]
struct Reader {
    logs: Vec<PolicyLog>,
    witnesses: Vec<PolicyWitness>,
    groups: Vec<Group>,
    quorum: Option<Quorum>,
    /// The lines of `logs` and `witnesses`.
    log_lines: Vec<usize>,
    witness_lines: Vec<usize>,
    /// Who is in a group already: nobody may count twice.
    members: Vec<Member>,
}

pub(super) fn read(text: &str) -> Result<Policy, PolicyError> {
    if text.len() > POLICY_BYTES_MAX {
        return Err(PolicyError::TooLong { actual: text.len() });
    }
    let mut reader = Reader::default();
    for (before, line) in text.split_inclusive('\n').enumerate() {
        let number = before + 1;
        let fault = |fault| PolicyError::Line {
            line: number,
            fault,
        };
        let line = line.strip_suffix('\n');
        let line = line.ok_or_else(|| fault(LineFault::Unfinished))?;
        reader.line(number, line).map_err(fault)?;
    }
    Ok(Policy {
        logs: reader.logs,
        witnesses: reader.witnesses,
        groups: reader.groups,
        quorum: reader.quorum.ok_or(PolicyError::QuorumMissing)?,
    })
}

impl Reader {
    fn line(&mut self, number: usize, line: &str) -> Result<(), LineFault> {
        let control = |byte: u8| (byte < b' ' && byte != b'\t') || byte == 0x7f;
        if line.bytes().any(control) {
            return Err(LineFault::Control);
        }
        let words: Vec<&str> = line
            .split([' ', '\t'])
            .filter(|word| !word.is_empty())
            .collect();
        match words.as_slice() {
            [] => Ok(()),
            [first, ..] if first.starts_with('#') => Ok(()),
            ["log", key, url @ ..] => self.log(number, key, optional(url, LOG)?),
            ["witness", name, key, url @ ..] => {
                let url = optional(url, WITNESS)?;
                self.witness(number, name, key, url)
            }
            ["group", name, threshold, members @ ..] if !members.is_empty() => {
                self.group(name, threshold, members)
            }
            ["quorum", name] => self.set_quorum(name),
            ["log", ..] => Err(LineFault::Form { form: LOG }),
            ["witness", ..] => Err(LineFault::Form { form: WITNESS }),
            ["group", ..] => Err(LineFault::Form { form: GROUP }),
            ["quorum", ..] => Err(LineFault::Form { form: QUORUM }),
            [_, ..] => Err(LineFault::Keyword),
        }
    }

    fn log(&mut self, number: usize, key: &str, url: Option<&str>) -> Result<(), LineFault> {
        room(self.logs.len())?;
        let key = VerifierKey::parse(key).map_err(LineFault::Key)?;
        let same = |log: &PolicyLog| log.key.public_key() == key.public_key();
        unlike(self.logs.iter().position(same), &self.log_lines)?;
        let url = owned(url)?;
        self.logs.push(PolicyLog { key, url });
        self.log_lines.push(number);
        Ok(())
    }

    fn witness(
        &mut self,
        number: usize,
        name: &str,
        key: &str,
        url: Option<&str>,
    ) -> Result<(), LineFault> {
        room(self.witnesses.len())?;
        let name = self.fresh(name)?;
        let key = WitnessKey::parse(key).map_err(LineFault::Key)?;
        let same = |witness: &PolicyWitness| witness.key.public_key() == key.public_key();
        unlike(self.witnesses.iter().position(same), &self.witness_lines)?;
        let url = owned(url)?;
        self.witnesses.push(PolicyWitness { name, key, url });
        self.witness_lines.push(number);
        Ok(())
    }

    fn group(&mut self, name: &str, threshold: &str, names: &[&str]) -> Result<(), LineFault> {
        room(self.groups.len())?;
        let name = self.fresh(name)?;
        let needed = match threshold {
            "any" => Some(1),
            "all" => Some(names.len()),
            number => parse_decimal(number, 3).and_then(|k| usize::try_from(k).ok()),
        };
        let needed = needed.filter(|k| (1..=names.len()).contains(k));
        let needed = needed.ok_or(LineFault::Threshold {
            members: names.len(),
        })?;
        let mut members = Vec::new();
        for name in names {
            let member = self.defined(name)?;
            if self.members.contains(&member) {
                let name = (*name).to_owned();
                return Err(LineFault::MemberTwice { name });
            }
            self.members.push(member);
            members.push(member);
        }
        self.groups.push(Group {
            name,
            needed,
            members,
        });
        Ok(())
    }

    fn set_quorum(&mut self, name: &str) -> Result<(), LineFault> {
        if self.quorum.is_some() {
            return Err(LineFault::QuorumTwice);
        }
        self.quorum = Some(if name == NONE {
            Quorum::Nobody
        } else {
            Quorum::Of(self.defined(name)?)
        });
        Ok(())
    }

    /// A name for a new witness or group: they share one space of names.
    fn fresh(&self, name: &str) -> Result<String, LineFault> {
        let taken = name == NONE || self.defined(name).is_ok();
        if taken || name.len() > POLICY_NAME_BYTES_MAX {
            let name = name.chars().take(POLICY_NAME_BYTES_MAX).collect();
            return Err(LineFault::Name { name });
        }
        Ok(name.to_owned())
    }

    fn defined(&self, name: &str) -> Result<Member, LineFault> {
        let witness = self.witnesses.iter().position(|w| w.name == name);
        let group = || self.groups.iter().position(|g| g.name == name);
        let member = witness.map(Member::Witness);
        let member = member.or_else(|| group().map(Member::Group));
        member.ok_or_else(|| LineFault::Unknown {
            name: name.chars().take(POLICY_NAME_BYTES_MAX).collect(),
        })
    }
}

fn optional<'w>(words: &[&'w str], form: &'static str) -> Result<Option<&'w str>, LineFault> {
    match words {
        [] => Ok(None),
        [url] => Ok(Some(url)),
        [_, _, ..] => Err(LineFault::Form { form }),
    }
}

fn owned(url: Option<&str>) -> Result<Option<String>, LineFault> {
    if url.is_some_and(|url| url.len() > POLICY_URL_BYTES_MAX) {
        return Err(LineFault::Url);
    }
    Ok(url.map(str::to_owned))
}

const fn room(taken: usize) -> Result<(), LineFault> {
    if taken < POLICY_ITEMS_MAX {
        Ok(())
    } else {
        Err(LineFault::TooMany)
    }
}

fn unlike(same: Option<usize>, lines: &[usize]) -> Result<(), LineFault> {
    match same.and_then(|at| lines.get(at)) {
        Some(&earlier) => Err(LineFault::DuplicateKey { earlier }),
        None => Ok(()),
    }
}
