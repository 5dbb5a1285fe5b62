//! Lambda's Runtime API on 127.0.0.1, enough for one invocation.
//!
//! It hands out one event, tells what came back, and lets a second `next` wait, as Lambda does while no
//! event is there. HTTP/1.1 with kept connections; bodies with a length or in chunks.
//!
//! Source: <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const PREFIX: &str = "/2018-06-01/runtime/";
const REQUEST_ID: &str = "8476a536-e9f4-11e8-9739-2dfe598c3fcd";
const FUNCTION_ARN: &str = "arn:aws:lambda:eu-central-1:123456789012:function:test";
const TRACE_ID: &str = "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Parent=9a9197af755a6419;Sampled=0";

/// What a runtime client sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Report {
    /// The answer to the event.
    Response(String),
    /// The function failed on the event.
    InvocationError(String),
    /// The function failed before it asked for an event.
    InitError(String),
    /// A request that the Runtime API does not have.
    Unknown(String),
}

/// A running server. Its threads end with the test process.
pub struct RuntimeApi {
    address: SocketAddr,
    reports: Receiver<Report>,
}

impl RuntimeApi {
    /// Starts a server that hands out `event`, a JSON text, once.
    pub fn start(event: &str) -> io::Result<RuntimeApi> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let (sender, reports) = channel();
        let event: Arc<str> = event.into();
        let taken = Arc::new(AtomicBool::new(false));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (event, taken, sender) = (event.clone(), taken.clone(), sender.clone());
                // A connection that breaks is the client's end; the test sees that the program ended.
                thread::spawn(move || drop(serve(&stream, &event, &taken, &sender)));
            }
        });
        Ok(RuntimeApi { address, reports })
    }

    /// The value of `AWS_LAMBDA_RUNTIME_API`: host and port.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// The next thing that a client sent, if it comes within `limit`.
    pub fn next_report(&self, limit: Duration) -> Option<Report> {
        self.reports.recv_timeout(limit).ok()
    }
}

fn serve(stream: &TcpStream, event: &str, taken: &AtomicBool, reports: &Sender<Report>) -> io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut writer = stream;
    while let Some(request) = read_request(&mut reader, &mut writer)? {
        let call = request.path.strip_prefix(PREFIX).unwrap_or_default();
        if request.method == "GET" && call == "invocation/next" {
            if taken.swap(true, Ordering::SeqCst) {
                // No second event: wait until the client goes.
                return io::copy(&mut reader, &mut io::sink()).map(drop);
            }
            respond(&mut writer, "200 OK", &next_headers(), event)?;
            continue;
        }
        let (status, report) = match (request.method.as_str(), call.split_once(REQUEST_ID)) {
            ("POST", Some(("invocation/", "/response"))) => ("202 Accepted", Report::Response(request.body)),
            ("POST", Some(("invocation/", "/error"))) => {
                ("202 Accepted", Report::InvocationError(request.body))
            }
            ("POST", None) if call == "init/error" => ("202 Accepted", Report::InitError(request.body)),
            _ => ("404 Not Found", Report::Unknown(format!("{} {}", request.method, request.path))),
        };
        respond(&mut writer, status, "", r#"{"status":"OK"}"#)?;
        // The test may have its answer and be gone.
        if reports.send(report).is_err() {
            break;
        }
    }
    Ok(())
}

fn next_headers() -> String {
    let deadline = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is past 1970")
        + Duration::from_secs(60);
    format!(
        "Lambda-Runtime-Aws-Request-Id: {REQUEST_ID}\r\n\
         Lambda-Runtime-Deadline-Ms: {}\r\n\
         Lambda-Runtime-Invoked-Function-Arn: {FUNCTION_ARN}\r\n\
         Lambda-Runtime-Trace-Id: {TRACE_ID}\r\n",
        deadline.as_millis()
    )
}

fn respond(writer: &mut impl Write, status: &str, headers: &str, body: &str) -> io::Result<()> {
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n{headers}\r\n",
        body.len()
    );
    writer.write_all((head + body).as_bytes())
}

struct Request {
    method: String,
    path: String,
    body: String,
}

/// Reads one request; `None` when the client has closed the connection.
fn read_request(reader: &mut impl BufRead, writer: &mut impl Write) -> io::Result<Option<Request>> {
    let line = read_line(reader)?;
    let mut words = line.split(' ').map(str::to_owned);
    let (Some(method), Some(path)) = (words.next(), words.next()) else {
        return Ok(None);
    };
    let mut headers = BTreeMap::new();
    loop {
        let line = read_line(reader)?;
        let Some((name, value)) = line.split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_ascii_lowercase());
    }
    if headers.get("expect").is_some_and(|value| value == "100-continue") {
        writer.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
    }
    let body = if headers.get("transfer-encoding").is_some_and(|value| value == "chunked") {
        read_chunks(reader)?
    } else {
        let length = headers.get("content-length").map_or(Ok(0), |value| value.parse());
        read_exactly(reader, length.map_err(io::Error::other)?)?
    };
    let body = String::from_utf8(body).map_err(io::Error::other)?;
    Ok(Some(Request { method, path, body }))
}

fn read_chunks(reader: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = read_line(reader)?;
        let size = line.split(';').next().unwrap_or_default().trim();
        let size = usize::from_str_radix(size, 16).map_err(io::Error::other)?;
        if size == 0 {
            break;
        }
        body.extend(read_exactly(reader, size)?);
        read_line(reader)?;
    }
    // Trailers, up to the empty line. lambda_runtime sends one when a streamed answer fails.
    while !read_line(reader)?.is_empty() {}
    Ok(body)
}

fn read_exactly(reader: &mut impl Read, n_bytes: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; n_bytes];
    reader.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn read_line(reader: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    reader.read_line(&mut line)?;
    line.truncate(line.trim_end_matches(['\r', '\n']).len());
    Ok(line)
}
