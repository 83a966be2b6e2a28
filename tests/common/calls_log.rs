//! Reads the calls log of a running Envoy.

use super::world::World;
use serde_json::Value;
use std::time::{Duration, Instant};

/// Its whole lines, each of which must be JSON; those that were moved away first.
pub fn lines(world: &World) -> Vec<Value> {
    let read = |name: &str| std::fs::read_to_string(world.stack.run_dir().join(name)).unwrap_or_default();
    let text = read("calls.log.moved") + &read("calls.log");
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let read = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    whole.lines().map(read).collect()
}

/// The one line of an exchange, once Envoy has written it.
pub fn line_of(world: &World, exchange_id: &str) -> Value {
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        let mut found = lines(world);
        found.retain(|line| line["pax"]["exchange_id"] == exchange_id);
        match found.len() {
            1 => return found.remove(0),
            0 if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(20)),
            count => panic!("{count} lines of {exchange_id}"),
        }
    }
}
