//! What every command that changes something has in common: its key, who does it, and what is said if it was done
//! before.

use std::io::Write;
use std::os::unix::fs::MetadataExt;

use pax_gateway::base::exchange_id::ExchangeId;

use super::args::Acting;
use crate::book::Act;
use crate::error::Error;
use crate::now;
use crate::store::{Acted, DoneBefore};

impl Acting {
    /// The act. A key that was made here is printed, so that the command can be sent again if its end is not seen.
    pub(super) fn act(self) -> Result<Act, Error> {
        let by = match self.by {
            Some(by) => by,
            None => unix_user()?,
        };
        let at = now();
        let (key, is_made) = match self.key {
            Some(key) => (key, false),
            None => (new_key()?, true),
        };
        let act = Act::new(key, by, self.reason, at);
        let act = act.map_err(|why| Error::Operator(format!("--{why}")))?;
        if is_made {
            let key = act.key();
            let _ =
                writeln!(std::io::stderr(), "key {key}; sent again with --key {key}, this is not done twice");
        }
        Ok(act)
    }
}

/// Says, if an action was done before, that nothing was done again. Gives the answer.
pub(super) fn answer<Reply>(acted: Acted<Reply>) -> Reply {
    if let Some(before) = &acted.before {
        let _ = writeln!(std::io::stderr(), "{}: nothing is done again", done_before(before));
    }
    acted.reply
}

pub(super) fn done_before(before: &DoneBefore) -> String {
    format!("done before, at {} by {}", before.at, before.by)
}

/// A random key that sorts by the time at which it was made.
fn new_key() -> Result<String, Error> {
    let mut random = [0; 10];
    getrandom::fill(&mut random)
        .map_err(|error| Error::Operator(format!("the system's random source failed: {error}")))?;
    Ok(ExchangeId::new(now(), random).to_string())
}

/// Who runs a command that takes no `--by`.
pub(super) fn operator() -> Result<String, Error> {
    std::env::var("PAX_OPERATOR").ok().filter(|by| !by.is_empty()).map_or_else(unix_user, Ok)
}

/// The name of the user as whom this program runs. Environment variables are asked last, since anybody can set them.
fn unix_user() -> Result<String, Error> {
    let uid = std::fs::metadata("/proc/self").ok().map(|own| own.uid().to_string());
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let named = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1) == uid.as_deref()).then(|| name.to_owned())
    });
    let name = named.or_else(|| std::env::var("USER").ok()).filter(|name| !name.is_empty());
    name.ok_or_else(|| {
        Error::Operator(
            "who are you? Say --by NAME, or set PAX_OPERATOR: each action is logged with a name".to_owned(),
        )
    })
}
