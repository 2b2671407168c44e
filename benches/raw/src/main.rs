//! The ceiling: length-prefixed echo over TCP.
//!
//! Not an RPC: there are no call ids and no futures, and the whole window moves in lock step.
//! `server` and `client` batch their writes, with `--nobatch 1` each message is a write of its own;
//! `server-blk` and `client-blk` are the same on threads, without tokio.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::time::Instant;

use bench_common::{Args, Bench, Recorder, Workload, runtime};
use bytes::{Buf, BufMut, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// The bit of a length that asks for a stream: count and size follow in its place.
const STREAM: u32 = 1 << 31;
const BUFFER: usize = 256 << 10;

fn main() {
    let args = Args::read();
    match args.mode() {
        "server" => runtime().block_on(server(&args)),
        "server-blk" => blocking_server(&args),
        "client" => runtime().block_on(client(&args)),
        "client-blk" => blocking_client(&args),
        other => panic!("server, server-blk, client or client-blk, not {other:?}"),
    }
}

async fn server(args: &Args) {
    let batch = args.number("nobatch", 0) == 0;
    let listener = TcpListener::bind(args.address())
        .await
        .expect("the address is free");
    loop {
        let (socket, _) = listener.accept().await.expect("accept");
        tokio::spawn(serve(socket, batch));
    }
}

async fn serve(mut socket: TcpStream, batch: bool) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let (mut input, mut out) = (
        BytesMut::with_capacity(BUFFER),
        BytesMut::with_capacity(BUFFER),
    );
    while socket.read_buf(&mut input).await? > 0 {
        while input.len() >= 4 {
            let head = u32::from_le_bytes([input[0], input[1], input[2], input[3]]);
            if head & STREAM != 0 {
                if input.len() < 12 {
                    break;
                }
                input.advance(4);
                let (count, size) = (input.get_u32_le(), input.get_u32_le());
                let payload = vec![7; size as usize];
                for _ in 0..count {
                    out.put_u32_le(size);
                    out.put_slice(&payload);
                    if out.len() >= 64 << 10 {
                        socket.write_all(&out).await?;
                        out.clear();
                    }
                }
                continue;
            }
            let end = 4 + head as usize;
            if input.len() < end {
                input.reserve(end - input.len());
                break;
            }
            out.put_slice(&input[..end]);
            input.advance(end);
            if !batch {
                socket.write_all(&out).await?;
                out.clear();
            }
        }
        if input.capacity() - input.len() < 4096 {
            input.reserve(64 << 10);
        }
        if !out.is_empty() {
            socket.write_all(&out).await?;
            out.clear();
        }
    }
    Ok(())
}

async fn client(args: &Args) {
    let (size, count, batch) = (args.size(), args.count(), args.number("nobatch", 0) == 0);
    let window = args.workers() / args.connections();
    let workload = args.workload();
    let bench = Bench::new(args);
    let mut workers = Vec::new();
    for _ in 0..args.connections() {
        let socket = TcpStream::connect(args.address())
            .await
            .expect("a server listens");
        socket.set_nodelay(true).expect("nodelay");
        workers.push(move |recorder: Recorder| async move {
            let ended = match workload {
                Workload::ServerStream => streams(socket, recorder, size, count).await,
                _ => echo(socket, recorder, size, window, batch).await,
            };
            ended.expect("the server stays");
        });
    }
    bench.drive(workers).await;
}

async fn echo(
    mut socket: TcpStream,
    mut recorder: Recorder,
    size: usize,
    window: usize,
    batch: bool,
) -> io::Result<()> {
    let mut message = (size as u32).to_le_bytes().to_vec();
    message.resize(4 + size, 7);
    let (mut input, mut out) = (
        BytesMut::with_capacity(BUFFER),
        BytesMut::with_capacity(BUFFER),
    );
    let mut started = VecDeque::new();
    let mut free = window;
    while !recorder.over() {
        let now = Instant::now();
        for _ in 0..free {
            started.push_back(now);
            if batch {
                out.put_slice(&message);
            } else {
                socket.write_all(&message).await?;
            }
        }
        if !out.is_empty() {
            socket.write_all(&out).await?;
            out.clear();
        }
        free = 0;
        while free == 0 {
            if input.capacity() - input.len() < 4096 {
                input.reserve(BUFFER);
            }
            if socket.read_buf(&mut input).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            while input.len() >= 4 + size {
                input.advance(4 + size);
                recorder.done(started.pop_front().expect("each reply has its request"));
                free += 1;
            }
        }
    }
    Ok(())
}

async fn streams(
    mut socket: TcpStream,
    mut recorder: Recorder,
    size: usize,
    count: u32,
) -> io::Result<()> {
    let mut input = BytesMut::with_capacity(BUFFER);
    while !recorder.over() {
        let mut request = BytesMut::new();
        request.put_u32_le(STREAM);
        request.put_u32_le(count);
        request.put_u32_le(size as u32);
        socket.write_all(&request).await?;
        let mut left = count as usize;
        while left > 0 {
            if socket.read_buf(&mut input).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let messages = input.len() / (4 + size);
            input.advance(messages * (4 + size));
            left -= messages;
            recorder.count(messages as u64);
            if input.capacity() < 4096 + input.len() {
                input.reserve(BUFFER);
            }
            if recorder.over() {
                break;
            }
        }
    }
    Ok(())
}

fn blocking_server(args: &Args) {
    let listener = std::net::TcpListener::bind(args.address()).expect("the address is free");
    for socket in listener.incoming() {
        let socket = socket.expect("accept");
        std::thread::spawn(move || blocking_serve(socket));
    }
}

fn blocking_serve(mut socket: std::net::TcpStream) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let mut buffer = vec![0; 1 << 20];
    loop {
        let (mut have, mut need) = (0, 4);
        while have < need {
            let read = socket.read(&mut buffer[have..])?;
            if read == 0 {
                return Ok(());
            }
            have += read;
            if have >= 4 {
                need =
                    4 + u32::from_le_bytes([buffer[0], buffer[1], buffer[2], buffer[3]]) as usize;
            }
        }
        socket.write_all(&buffer[..need])?;
    }
}

fn blocking_client(args: &Args) {
    let (size, bench) = (args.size(), Bench::new(args));
    let mut threads = Vec::new();
    for _ in 0..args.workers() {
        let mut socket = std::net::TcpStream::connect(args.address()).expect("a server listens");
        socket.set_nodelay(true).expect("nodelay");
        let mut recorder = bench.recorder();
        threads.push(std::thread::spawn(move || {
            let mut request = (size as u32).to_le_bytes().to_vec();
            request.resize(4 + size, 7);
            let mut reply = vec![0; 4 + size];
            while !recorder.over() {
                let start = Instant::now();
                socket
                    .write_all(&request)
                    .and_then(|()| socket.read_exact(&mut reply))
                    .expect("the server stays");
                recorder.done(start);
            }
        }));
    }
    let used = bench.phases();
    for thread in threads {
        thread.join().expect("a worker failed");
    }
    bench.report(used);
}
