//! One HTTP/2 call without TLS, with a body of any size.

use crate::common::http::Answer;
use crate::common::world::TOKEN;
use bytes::Bytes;
use http::Request;
use std::time::Duration;

/// Posts a body in frames as large as the peer takes, without a length, and reads the answer.
pub fn post(port: u16, path: &str, body: &str) -> Answer {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let answer = async {
        let socket = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let (mut client, connection) = h2::client::handshake(socket).await.unwrap();
        tokio::spawn(async move { drop(connection.await) });
        let request = Request::post(format!("http://gateway.test{path}"))
            .header("authorization", format!("Bearer {TOKEN}"))
            .body(())
            .unwrap();
        let (response, mut send) = client.send_request(request, false).unwrap();
        // Who is refused early gets its answer before the body is out.
        let _ = send.send_data(Bytes::copy_from_slice(body.as_bytes()), true);
        let (head, mut stream) = response.await.unwrap().into_parts();
        let mut answer = Answer { status: head.status.as_u16(), complete: true, ..Answer::default() };
        let header = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
            (name.as_str().to_owned(), value.as_bytes().to_vec())
        };
        answer.headers = head.headers.iter().map(header).collect();
        while let Some(piece) = stream.data().await {
            let Ok(piece) = piece else {
                answer.complete = false;
                break;
            };
            let _ = stream.flow_control().release_capacity(piece.len());
            answer.body.extend_from_slice(&piece);
        }
        answer
    };
    let patience = Duration::from_secs(30);
    runtime.block_on(async { tokio::time::timeout(patience, answer).await.expect("the call hangs") })
}
