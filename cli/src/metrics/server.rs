//! As much of an HTTP server as a scrape needs: `GET /metrics`, one answer a connection.
//!
//! Invariant: no client holds up another one, or the end of the program. Each has a thread and a
//! few seconds, their number is limited, and one thread at a time looks at the queues.

use super::look::Looker;
use crate::exit::{End, Outcome};
use crate::{output, signals, wait};
use prometheus_client::encoding::prometheus_text::CONTENT_TYPE;
use rustix::event::PollFlags;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Connections that are served at once.
const MAX_CLIENTS: usize = 16;
/// For a client to ask, and again for it to hear the answer.
const MAX_EXCHANGE: Duration = Duration::from_secs(5);
/// Longest request: a line and some headers.
const MAX_REQUEST: usize = 16 << 10;

pub fn serve(text: &str, places: &[SocketAddr], looker: Looker) -> Outcome {
    let failed = |error: io::Error| {
        End::failed(format!(
            "cannot listen on {text}: {error}; choose another --listen address"
        ))
    };
    let listener = TcpListener::bind(places).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    let place = listener.local_addr().map_err(failed)?;
    output::note(&format!("serving http://{place}/metrics"));
    let looker = Arc::new(Mutex::new(looker));
    // Each thread has a share of this.
    let clients = Arc::new(());
    loop {
        if signals::caught().is_some() {
            return Ok(());
        }
        if wait::ready(&listener, PollFlags::IN)
            .map_err(|errno| failed(errno.into()))?
            .is_empty()
        {
            continue;
        }
        // A client that has gone again, or no descriptor left: the next one may do better.
        let Ok((stream, _)) = listener.accept() else {
            std::thread::sleep(Duration::from_millis(10));
            continue;
        };
        if Arc::strong_count(&clients) > MAX_CLIENTS {
            continue; // closes it
        }
        let (client, looker) = (clients.clone(), looker.clone());
        // Without a thread it is closed too.
        let _ = std::thread::Builder::new().spawn(move || {
            let _ = exchange(stream, &looker);
            drop(client);
        });
    }
}

/// One request and its answer.
fn exchange(mut stream: TcpStream, looker: &Mutex<Looker>) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    let request = request(&mut stream, Instant::now() + MAX_EXCHANGE)?;
    let answer = answer(&request, || {
        let mut looker = looker.lock().unwrap_or_else(PoisonError::into_inner);
        looker.text().map_err(|error| error.to_string())
    });
    let deadline = Instant::now() + MAX_EXCHANGE;
    let mut rest = answer.as_bytes();
    while !rest.is_empty() {
        stream.set_write_timeout(Some(left(deadline)?))?;
        match stream.write(rest) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(some) => rest = &rest[some..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    stream.shutdown(std::net::Shutdown::Write)
}

/// Reads until the headers end.
fn request(stream: &mut TcpStream, deadline: Instant) -> io::Result<Vec<u8>> {
    let mut request = vec![];
    let mut buffer = [0; 1024];
    loop {
        stream.set_read_timeout(Some(left(deadline)?))?;
        match stream.read(&mut buffer) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(some) => request.extend_from_slice(&buffer[..some]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        if request.windows(4).any(|end| end == b"\r\n\r\n")
            || request.windows(2).any(|end| end == b"\n\n")
            || request.len() > MAX_REQUEST
        {
            return Ok(request);
        }
    }
}

/// Until then; never zero, which would mean forever.
fn left(deadline: Instant) -> io::Result<Duration> {
    match deadline.saturating_duration_since(Instant::now()) {
        Duration::ZERO => Err(io::ErrorKind::TimedOut.into()),
        left => Ok(left),
    }
}

/// The whole answer to a request.
fn answer(request: &[u8], look: impl FnOnce() -> Result<String, String>) -> String {
    const PLAIN: &str = "text/plain; charset=utf-8";
    let line = request.split(|byte| *byte == b'\n').next();
    let line = String::from_utf8_lossy(line.unwrap_or_default()).into_owned();
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    let [method, path, version] = words[..] else {
        return response("400 Bad Request", PLAIN, "no HTTP request\n", false);
    };
    if !version.starts_with("HTTP/1.") || request.len() > MAX_REQUEST {
        return response("400 Bad Request", PLAIN, "expected HTTP/1.1\n", false);
    }
    let head = method == "HEAD";
    if !head && method != "GET" {
        let text = "expected GET\n";
        return response(
            "405 Method Not Allowed\r\nAllow: GET, HEAD",
            PLAIN,
            text,
            false,
        );
    }
    match path.split('?').next() {
        Some("/metrics") => match look() {
            Ok(text) => response("200 OK", CONTENT_TYPE, &text, head),
            Err(why) => response(
                "500 Internal Server Error",
                PLAIN,
                &format!("{why}\n"),
                head,
            ),
        },
        Some("/") => response("200 OK", PLAIN, "the metrics are at /metrics\n", head),
        _ => response(
            "404 Not Found",
            PLAIN,
            "the metrics are at /metrics\n",
            head,
        ),
    }
}

/// `HEAD` asks for everything but the text.
fn response(status: &str, kind: &str, text: &str, head: bool) -> String {
    let length = text.len();
    let text = if head { "" } else { text };
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{text}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_request_has_an_answer() {
        let status = |request: &[u8]| {
            let text = answer(request, || Ok("figures".into()));
            let (first, _) = text.split_once("\r\n").unwrap();
            (first.to_owned(), text.ends_with("\r\n\r\nfigures"))
        };
        for (request, expected, figures) in [
            ("GET /metrics HTTP/1.1\r\n\r\n", "200", true),
            ("GET /metrics?name=x HTTP/1.0\r\n\r\n", "200", true),
            ("HEAD /metrics HTTP/1.1\r\n\r\n", "200", false),
            ("GET / HTTP/1.1\r\n\r\n", "200", false),
            ("GET /metricsx HTTP/1.1\r\n\r\n", "404", false),
            ("POST /metrics HTTP/1.1\r\n\r\n", "405", false),
            ("GET /metrics HTTP/2\r\n\r\n", "400", false),
            ("GET /metrics\r\n\r\n", "400", false),
            ("", "400", false),
            ("\r\n\r\n", "400", false),
        ] {
            let (first, all) = status(request.as_bytes());
            assert!(
                first.contains(expected) && all == figures,
                "{request}: {first}"
            );
        }
        assert!(status(&[0xff; 100]).0.contains("400"));
        assert!(status(&vec![b'x'; MAX_REQUEST + 1]).0.contains("400"));
        let broken = answer(b"GET /metrics HTTP/1.1\r\n\r\n", || Err("why".into()));
        assert!(broken.starts_with("HTTP/1.1 500") && broken.ends_with("why\n"));
    }
}
