//! A body that is written as told: in which pieces, how fast, and whether it ends.

use std::collections::VecDeque;
use std::io::Write;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use flate2::{Compression, write::GzEncoder};
use http_body::{Body, Frame, SizeHint};
use hyper::header::HeaderMap;
use tokio::time::{Sleep, sleep};

use crate::behaviour::Behaviour;

/// What was written has this long to leave before the connection is cut:
/// hyper drops what it has not sent by then.
const BEFORE_CUT: Duration = Duration::from_millis(20);

/// The stand-in was told to cut the connection here.
#[derive(Debug, thiserror::Error)]
#[error("the stand-in was told to cut the connection")]
pub(crate) struct Cut;

#[derive(Debug)]
enum End {
    Complete,
    Cut,
    Stall,
}

#[derive(Debug)]
enum Next {
    Write,
    /// Give the connection one turn to flush, so that the next piece is a write of its own.
    Flush,
    Wait(Pin<Box<Sleep>>),
}

/// A response body that plays its pieces one by one.
#[derive(Debug)]
pub(crate) struct Playback {
    writes: VecDeque<Bytes>,
    pace: Duration,
    end: End,
    trailers: Option<HeaderMap>,
    next: Next,
}

impl Playback {
    /// A body without any misbehaviour.
    pub(crate) fn plain(body: Bytes) -> Self {
        let writes = if body.is_empty() { VecDeque::new() } else { [body].into() };
        Self { writes, pace: Duration::ZERO, end: End::Complete, trailers: None, next: Next::Write }
    }

    /// The pieces as the behaviour wants them. Also gives the length in bytes that a complete body has.
    pub(crate) fn new(
        pieces: Vec<Bytes>,
        behaviour: &Behaviour,
        trailers: Option<HeaderMap>,
    ) -> (Self, usize) {
        let pieces = if behaviour.gzip { gzip(&pieces) } else { pieces };
        let length = pieces.iter().map(Bytes::len).sum();
        let (end, limit) = match (behaviour.cut_after_bytes, behaviour.stall_after_bytes) {
            (Some(limit), _) => (End::Cut, limit),
            (None, Some(limit)) => (End::Stall, limit),
            (None, None) => (End::Complete, length),
        };
        let mut writes = truncate(pieces, limit);
        if let Some(sizes) = &behaviour.write_bytes {
            writes = resize(&writes, sizes);
        }
        let millis = |value: Option<u64>| Duration::from_millis(value.unwrap_or(0));
        let first_delay = millis(behaviour.first_byte_delay_ms);
        let mut body =
            Self { writes: writes.into(), pace: millis(behaviour.pace_ms), end, trailers, next: Next::Write };
        if !first_delay.is_zero() {
            body.next = Next::Wait(Box::pin(sleep(first_delay)));
        } else if body.writes.is_empty() {
            body.next = body.after_write();
        }
        (body, length)
    }

    /// What comes before the next piece or the end.
    fn after_write(&self) -> Next {
        match (&self.end, self.writes.is_empty()) {
            (End::Cut, true) => Next::Wait(Box::pin(sleep(BEFORE_CUT))),
            (_, true) => Next::Write,
            (_, false) if self.pace.is_zero() => Next::Flush,
            (_, false) => Next::Wait(Box::pin(sleep(self.pace))),
        }
    }
}

impl Body for Playback {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        match &mut self.next {
            Next::Write => {}
            Next::Flush => {
                self.next = Next::Write;
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            Next::Wait(until) => {
                if until.as_mut().poll(context).is_pending() {
                    return Poll::Pending;
                }
                self.next = Next::Write;
            }
        }
        if let Some(piece) = self.writes.pop_front() {
            self.next = self.after_write();
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        match self.end {
            End::Complete => Poll::Ready(self.trailers.take().map(|trailers| Ok(Frame::trailers(trailers)))),
            End::Cut => Poll::Ready(Some(Err(Cut))),
            // Nobody wakes this; hyper drops the body when the client goes.
            End::Stall => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.writes.is_empty() && self.trailers.is_none() && matches!(self.end, End::Complete)
    }

    fn size_hint(&self) -> SizeHint {
        // Unknown on purpose: whether content-length is sent is decided by who sets the header.
        SizeHint::default()
    }
}

/// The first `limit` bytes.
fn truncate(pieces: Vec<Bytes>, limit: usize) -> Vec<Bytes> {
    let mut left = limit;
    let mut kept = Vec::with_capacity(pieces.len());
    for mut piece in pieces {
        piece.truncate(left);
        left -= piece.len();
        if !piece.is_empty() {
            kept.push(piece);
        }
    }
    kept
}

/// The same bytes in pieces of these sizes, cycled.
fn resize(pieces: &[Bytes], sizes: &[usize]) -> Vec<Bytes> {
    let mut all = BytesMut::new();
    pieces.iter().for_each(|piece| all.extend_from_slice(piece));
    let mut all = all.freeze();
    let mut resized = Vec::new();
    for size in sizes.iter().cycle() {
        if !all.has_remaining() {
            break;
        }
        resized.push(all.split_to((*size).min(all.len())));
    }
    resized
}

/// One gzip stream in which every piece can be read as soon as it has come.
fn gzip(pieces: &[Bytes]) -> Vec<Bytes> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    let mut compressed = Vec::with_capacity(pieces.len() + 1);
    for piece in pieces {
        // Writing into memory cannot fail.
        let _ = encoder.write_all(piece).and_then(|()| encoder.flush());
        compressed.push(std::mem::take(encoder.get_mut()).into());
    }
    compressed.extend(encoder.finish().ok().map(Bytes::from));
    compressed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_resized_in_cycles_and_lose_no_byte() {
        let pieces = [Bytes::from("0123"), Bytes::from("456789")];
        assert_eq!(resize(&pieces, &[3, 1]), ["012", "3", "456", "7", "89"]);
    }

    #[test]
    fn between_two_pieces_the_connection_gets_a_turn_to_flush() {
        let behaviour = Behaviour { write_bytes: Some(vec![2]), ..Behaviour::default() };
        let (mut body, length) = Playback::new(vec![Bytes::from("0123")], &behaviour, None);
        let mut context = Context::from_waker(std::task::Waker::noop());
        let mut poll = || match Pin::new(&mut body).poll_frame(&mut context) {
            Poll::Pending => "pending".to_owned(),
            Poll::Ready(None) => "end".to_owned(),
            Poll::Ready(frame) => {
                String::from_utf8_lossy(&frame.unwrap().unwrap().into_data().unwrap()).into_owned()
            }
        };
        assert_eq!([poll(), poll(), poll(), poll()], ["01", "pending", "23", "end"]);
        assert_eq!(length, 4);
    }

    #[test]
    fn a_compressed_piece_can_be_read_before_the_next_one_comes() {
        let compressed = gzip(&[Bytes::from("first"), Bytes::from("second")]);
        let mut decoder = flate2::write::GzDecoder::new(Vec::new());
        decoder.write_all(&compressed[0]).unwrap();
        decoder.flush().unwrap();
        assert_eq!(decoder.get_ref(), b"first");
        decoder.write_all(&compressed[1..].concat()).unwrap();
        assert_eq!(decoder.finish().unwrap(), b"firstsecond");
    }

    #[test]
    fn what_is_cut_keeps_exactly_the_first_bytes() {
        let pieces = || vec![Bytes::from("0123"), Bytes::from("456789")];
        assert_eq!(truncate(pieces(), 5), ["0123", "4"]);
        assert_eq!(truncate(pieces(), 0), Vec::<Bytes>::new());
        assert_eq!(truncate(pieces(), 99), ["0123", "456789"]);
    }
}
