//! As much of HTTP/1.1 as both ends of the benchmark need, read from a buffer that grows: kept small, because
//! its CPU time is taken from what drives Envoy.

/// A head that is complete: how long it is, and what it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// With the empty line, in bytes.
    pub bytes: usize,
    /// The status; 0 for a request.
    pub status: u16,
    /// `content-length`, or None for chunks.
    pub length: Option<usize>,
}

/// The head at the buffer's start, once all of it is there.
pub fn head(buffer: &[u8]) -> Option<Head> {
    let end = buffer.windows(4).position(|window| window == b"\r\n\r\n")?;
    let text = buffer.get(..end)?;
    let mut lines = text.split(|byte| *byte == b'\n');
    let first = lines.next().unwrap_or_default();
    let status = match first.strip_prefix(b"HTTP/1.1 ") {
        Some(rest) => number(rest, 10).unwrap_or(0),
        None => 0,
    };
    let mut head = Head { bytes: end + 4, status: u16::try_from(status).unwrap_or(0), length: Some(0) };
    for line in lines {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let (name, value) = line.split_at(colon);
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        if name.eq_ignore_ascii_case(b"content-length") {
            head.length = number(value, 10);
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            head.length = None;
        }
    }
    Some(head)
}

/// The number at the start of a text.
fn number(text: &[u8], radix: u32) -> Option<usize> {
    let digits = text.iter().take_while(|byte| char::from(**byte).is_digit(radix)).count();
    let digits = std::str::from_utf8(text.get(..digits)?).ok()?;
    usize::from_str_radix(digits, radix).ok()
}

/// A body in chunks, as far as it was read.
#[derive(Debug, Default)]
pub struct Chunked {
    /// The bytes without framing.
    pub body: Vec<u8>,
    /// How much of the buffer was used.
    pub used: usize,
}

impl Chunked {
    /// Takes what is complete in the buffer; true at the body's end.
    pub fn read(&mut self, buffer: &[u8]) -> bool {
        loop {
            let rest = buffer.get(self.used..).unwrap_or_default();
            let Some(line) = rest.windows(2).position(|window| window == b"\r\n") else { return false };
            let size = number(rest, 16).unwrap_or(0);
            let whole = line + 2 + size + 2;
            if rest.len() < whole {
                return false;
            }
            self.body.extend_from_slice(rest.get(line + 2..line + 2 + size).unwrap_or_default());
            self.used += whole;
            if size == 0 {
                return true;
            }
        }
    }
}

/// A chunk as it goes onto the wire.
pub fn chunk(bytes: &[u8]) -> Vec<u8> {
    [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_in_chunks_is_read_however_it_is_cut() {
        let wire = [chunk(b"one"), chunk(&[b'x'; 300]), b"0\r\n\r\n".to_vec()].concat();
        for cut in 0..wire.len() {
            let mut chunked = Chunked::default();
            assert!(!chunked.read(&wire[..cut]), "{cut}");
            assert!(chunked.read(&wire));
            assert_eq!(chunked.body, [b"one".to_vec(), vec![b'x'; 300]].concat());
            assert_eq!(chunked.used, wire.len());
        }
    }

    #[test]
    fn a_head_says_how_long_its_body_is() {
        let read = |text: &str| head(text.as_bytes()).map(|head| (head.status, head.length, head.bytes));
        assert_eq!(read("HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\nrest"), Some((200, Some(12), 39)));
        assert_eq!(read("HTTP/1.1 503 No\r\ntransfer-encoding: chunked\r\n\r\n"), Some((503, None, 47)));
        assert_eq!(read("HTTP/1.1 200 OK\r\ncontent-length: 12\r\n"), None);
        assert_eq!(read("GET / HTTP/1.1\r\nhost: a\r\n\r\n"), Some((0, Some(0), 27)));
    }
}
