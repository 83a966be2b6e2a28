//! The whole stack: every body once, as its client sent it.

use crate::bodies::Body;
use crate::common::http::request;
use crate::common::world::{TOKEN, World};

pub fn serves_all(bodies: &[Body]) {
    let world = World::start();
    let bearer = format!("Bearer {TOKEN}");
    let headers: [(&str, &[u8]); 2] =
        [("authorization", bearer.as_bytes()), ("content-type", b"application/json")];
    let mut connection = world.connect();
    let mut refused = Vec::new();
    for body in bodies {
        let answer = connection.call(&request("POST", body.path(), &headers, Some(body.text.as_bytes())));
        if answer.status != 200 || !answer.complete {
            refused.push(format!("{}: {} {}", body.name, answer.status, answer.text()));
        }
    }
    assert!(refused.is_empty(), "{} of {}:\n{}", refused.len(), bodies.len(), refused.join("\n"));
    world.settle();
    world.replay();
}
