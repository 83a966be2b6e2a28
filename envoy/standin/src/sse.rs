//! Server-sent events, as bytes: where one ends, and what its data is.

use bytes::Bytes;

/// The event of one payload, as OpenAI writes it.
pub(crate) fn event(payload: &[u8]) -> Bytes {
    [b"data: ".as_slice(), payload, b"\n\n"].concat().into()
}

/// Cuts raw bytes after every blank line (`\n`, `\r\n` or `\r` line ends); together the pieces are all the
/// bytes.
pub(crate) fn split(raw: &Bytes) -> Vec<Bytes> {
    let mut events = Vec::new();
    let (mut start, mut line_start, mut at) = (0, 0, 0);
    while at < raw.len() {
        let end = match raw[at] {
            b'\r' if raw.get(at + 1) == Some(&b'\n') => at + 2,
            b'\r' | b'\n' => at + 1,
            _ => {
                at += 1;
                continue;
            }
        };
        if at == line_start && line_start > start {
            events.push(raw.slice(start..end));
            start = end;
        }
        (line_start, at) = (end, end);
    }
    if start < raw.len() {
        events.push(raw.slice(start..));
    }
    events
}

/// The event's `data`, its lines joined with `\n`; `None` without a data line.
pub(crate) fn data(event: &[u8]) -> Option<Vec<u8>> {
    let mut lines = event
        .split(|byte| matches!(byte, b'\n' | b'\r'))
        .filter_map(|line| line.strip_prefix(b"data:"))
        .map(|value| value.strip_prefix(b" ").unwrap_or(value));
    let mut data = lines.next()?.to_vec();
    for line in lines {
        data.push(b'\n');
        data.extend_from_slice(line);
    }
    Some(data)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raw_streams_are_cut_after_blank_lines_of_any_line_end() {
        for (raw, expected) in [
            ("data: a\n\ndata: b\n\n", vec!["data: a\n\n", "data: b\n\n"]),
            ("data: a\r\n\r\n: ping\r\n\r\n", vec!["data: a\r\n\r\n", ": ping\r\n\r\n"]),
            ("data: a\r\rdata: b", vec!["data: a\r\r", "data: b"]),
            ("\n\ndata: a\n", vec!["\n\n", "data: a\n"]),
            ("", vec![]),
        ] {
            let events = split(&Bytes::from(raw));
            assert_eq!(events, expected, "{raw:?}");
        }
    }

    #[test]
    fn data_lines_are_joined_and_lose_one_space() {
        assert_eq!(data(b"event: x\ndata:  a\ndata:b\n\n").unwrap(), b" a\nb");
        assert_eq!(data(b": ping\n\n"), None);
    }
}
