//! A root asks the ledger whose tokens its streams came with, and tells the streams.
//!
//! Only the root can ask. Envoy ends a callout with the context that made it, and the SDK gives the answer to
//! the context in whose callback the question was sent. If a stream asked and then ended, every other stream
//! that waits for the same answer would lose it.

use std::sync::Arc;

use crate::base::account::Tier;
use crate::base::clock::{Now, Tick};
use crate::base::digest::Digest;
use crate::base::wire::{RESOLVE_PATH, ResolveRequest, Resolved, Standing, UNKNOWN_TOKEN};
use crate::memory::cap;
use crate::memory::token_cache::Resolution;
use crate::told::ledger_trouble::{Said, Way};
use crate::worker::chores::callouts::Ended;
use crate::worker::chores::resolves::TOLD_AT_ONCE;
use crate::worker::host::{Host, Level};
use crate::worker::root_share::Worker;
use crate::worker::waiting::Waiter;

/// Ends the waits that were too long, sends as many questions as there are places, and tells the next streams
/// the ledger's answer. `root`: the root's context.
pub fn ask(host: &impl Host, worker: &Worker, root: u32, now: Now) {
    let overdue = worker.resolves().map(|mut resolves| resolves.overdue(now.tick)).unwrap_or_default();
    for (token, waiter) in overdue {
        tell(host, worker, &token, &Resolution::Unavailable, vec![waiter], now);
    }
    let gateway = worker.gateway();
    let ledger = &gateway.config.ledger;
    while let Some(question) = worker.resolves().and_then(|mut resolves| resolves.next_question()) {
        let (token_sha256, utc_day) = question;
        let body = serde_json::to_vec(&ResolveRequest { token_sha256, utc_day }).unwrap_or_default();
        let to = (ledger, Way::Resolve);
        let callout = worker.callouts.post(host, now.tick, to, (RESOLVE_PATH, "application/json"), &body);
        let Some(mut resolves) = worker.resolves() else { return };
        match callout {
            Some(callout) => resolves.sent(question, callout, now.tick, ledger.timeout_ms),
            None => {
                let waiters = resolves.failed(&question);
                drop(resolves);
                tell(host, worker, &token_sha256, &Resolution::Unavailable, waiters, now);
            }
        }
    }
    wake(host, worker, root, now);
    worker.set_pace(host);
}

/// A callout has ended; false if it is not one of these questions.
pub fn take_answer(host: &impl Host, worker: &Worker, root: u32, ended: Ended) -> bool {
    let Some(answered) = worker.resolves().and_then(|mut resolves| resolves.answered(ended.callout)) else {
        return false;
    };
    let ((token, _), waiters) = answered;
    let now = host.now();
    let (resolution, standing) = read_resolution(host, worker, now.tick, ended);
    let gateway = worker.gateway();
    let times = &gateway.config.tokens;
    let ttl_ms = match resolution {
        Resolution::Account(_) => times.ttl_ms,
        Resolution::Unknown | Resolution::Unavailable => times.unknown_ttl_ms,
    };
    worker.tokens.remember(host, &token, &resolution, now.tick, ttl_ms);
    if let (Resolution::Account(account), Some(standing)) = (&resolution, standing)
        && account.tier == Tier::Free
    {
        cap::learn(host, &account.account, &standing, now.tick);
    }
    tell(host, worker, &token, &resolution, waiters, now);
    ask(host, worker, root, now);
    true
}

/// Decides what the waiting streams are told. While the ledger does not answer, the token cache's entry is
/// believed for its grace.
fn tell(
    host: &impl Host,
    worker: &Worker,
    token: &Digest,
    resolution: &Resolution,
    waiters: Vec<Waiter>,
    now: Now,
) {
    let resolution = match resolution {
        Resolution::Unavailable => worker.tokens.look_up(host, token, now.tick).or_unavailable(),
        said => said.clone(),
    };
    if let Some(mut resolves) = worker.resolves() {
        resolves.tell(waiters, &resolution);
    }
}

/// Tells as many streams as may be told in one callback.
fn wake(host: &impl Host, worker: &Worker, root: u32, now: Now) {
    let mut woken = false;
    for _ in 0..TOLD_AT_ONCE {
        // The borrow must end before the stream is woken: it may ask again.
        let next = worker.resolves().and_then(|mut resolves| resolves.next_told());
        let Some((waiter, resolution)) = next else { break };
        waiter.wake(host, resolution, now);
        woken = true;
    }
    if woken && host.act_for(root).is_err() {
        host.log(Level::Error, "Envoy does not know the root context that asks the ledger");
    }
}

fn read_resolution(
    host: &impl Host,
    worker: &Worker,
    now: Tick,
    ended: Ended,
) -> (Resolution, Option<Standing>) {
    let gateway = worker.gateway();
    let from = (&gateway.config.ledger, Way::Resolve);
    let resolved = worker.callouts.answer(host, now, from, ended, |said| match said {
        Said::Refused(refused) if refused.code == UNKNOWN_TOKEN => Ok(None),
        said => said.done::<Resolved>().map(Some),
    });
    match resolved {
        Ok(Some(resolved)) => {
            let standing = resolved.standing;
            (Resolution::Account(Arc::new(resolved.account())), Some(standing))
        }
        Ok(None) => (Resolution::Unknown, None),
        Err(_) => (Resolution::Unavailable, None),
    }
}
