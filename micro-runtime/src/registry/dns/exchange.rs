//! One question to one server: by a datagram, and over TCP where the answer does not fit into one.
//!
//! An answer counts if it comes from the server that was asked, to the port that asked, with the id
//! and the question that were sent; ids and ports are random. Others are passed over.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UdpSocket;
use tokio::time::{Instant, timeout_at};

use super::failure;
use crate::error::Result;
use crate::registry::dns_message::{
    Data, Malformed, Message, Name, Question, RECURSION, Record, TRUNCATED, kind, rcode,
};
use crate::tasks::Tasks;
use crate::transport::{Tcp, Transport};

/// The largest datagram that we say we take: it is never cut into pieces on its way.
const DATAGRAM: u16 = 1232;
/// Room for those that are larger all the same.
const ROOM: usize = 4096;
/// How many records an answer may have: as many addresses as 64 KiB hold.
const MAX_RECORDS: usize = 4096;
/// How many datagrams of others are passed over.
const MAX_FOREIGN: usize = 64;

/// Asks `server` until `deadline`. The answer may say that something went wrong.
pub(super) async fn ask(
    server: SocketAddr,
    question: &Question,
    tasks: &Tasks,
    deadline: Instant,
) -> Result<Message> {
    let in_time = async {
        let answer = ask_as(server, question, tasks, Extended::Yes).await?;
        match answer.rcode() {
            // Servers of before 1999 do not know what an extension is.
            rcode::FORMAT | rcode::NOT_IMPLEMENTED => {
                ask_as(server, question, tasks, Extended::No).await
            }
            _ => Ok(answer),
        }
    };
    match timeout_at(deadline, in_time).await {
        Ok(answer) => answer,
        Err(_) => Err(failure(format!("the name server {server} does not answer"))),
    }
}

/// Whether a question tells how large a datagram may be.
#[derive(Clone, Copy, PartialEq)]
enum Extended {
    Yes,
    No,
}

async fn ask_as(
    server: SocketAddr,
    question: &Question,
    tasks: &Tasks,
    extended: Extended,
) -> Result<Message> {
    // The low bits of a random number are as random as the others.
    let id = u16::try_from(tasks.number() & 0xffff).unwrap_or_default();
    let mut asked = Message {
        id,
        flags: RECURSION,
        questions: vec![question.clone()],
        ..Message::default()
    };
    if extended == Extended::Yes {
        let mut size = Record::new(Name::default(), 0, Data::Other(kind::OPT));
        size.class = DATAGRAM;
        asked.additionals.push(size);
    }
    let asked = asked
        .write()
        .map_err(|why| failure(format!("a question cannot be written: {why}")))?;
    let lost = |error: std::io::Error| {
        failure(format!("the name server {server} cannot be asked: {error}")).with_source(error)
    };
    match by_datagram(server, &asked, id, question)
        .await
        .map_err(lost)?
    {
        Some(answer) => Ok(answer),
        None => over_tcp(server, &asked, id, question).await,
    }
}

/// `None` where the answer does not fit.
async fn by_datagram(
    server: SocketAddr,
    asked: &[u8],
    id: u16,
    question: &Question,
) -> std::io::Result<Option<Message>> {
    let any: IpAddr = match server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    // A port of its own for each question, chosen by the system at random.
    let socket = UdpSocket::bind((any, 0)).await?;
    // The system then passes nothing on that others send.
    socket.connect(server).await?;
    socket.send(asked).await?;
    let mut room = vec![0; ROOM];
    for _ in 0..MAX_FOREIGN {
        let length = socket.recv(&mut room).await?;
        let datagram = room.get(..length).unwrap_or_default();
        match Message::read_up_to(datagram, MAX_RECORDS) {
            Ok(answer) if !answers(&answer, id, question) => {}
            Ok(answer) if answer.flags & TRUNCATED == 0 => return Ok(Some(answer)),
            Ok(_) => return Ok(None),
            // What is cut may be cut anywhere.
            Err(_) if is_cut(datagram, id) => return Ok(None),
            Err(_) => {}
        }
    }
    Err(std::io::Error::other("nothing but foreign answers come"))
}

async fn over_tcp(
    server: SocketAddr,
    asked: &[u8],
    id: u16,
    question: &Question,
) -> Result<Message> {
    let lost = |error: std::io::Error| {
        failure(format!("the name server {server} breaks off: {error}")).with_source(error)
    };
    let mut io = Tcp.dial(&server.to_string()).await?.io;
    let length = u16::try_from(asked.len()).map_err(|_| failure("a question is too large"))?;
    // In one piece: some servers take the length alone for all there is.
    let framed = [&length.to_be_bytes(), asked].concat();
    io.write_all(&framed).await.map_err(lost)?;
    io.flush().await.map_err(lost)?;
    let length = io.read_u16().await.map_err(lost)?;
    let mut room = vec![0; length.into()];
    io.read_exact(&mut room).await.map_err(lost)?;
    let wrong =
        |why: Malformed| failure(format!("the name server {server} answers wrongly: {why}"));
    let answer = Message::read_up_to(&room, MAX_RECORDS).map_err(wrong)?;
    if answers(&answer, id, question) {
        Ok(answer)
    } else {
        Err(failure(format!(
            "the name server {server} answers another question"
        )))
    }
}

fn answers(answer: &Message, id: u16, question: &Question) -> bool {
    let same = match &*answer.questions {
        [echo] => echo == question,
        // A question that was not understood is not repeated by all.
        [] => matches!(answer.rcode(), rcode::FORMAT | rcode::NOT_IMPLEMENTED),
        _ => false,
    };
    answer.is_response() && answer.is_query() && answer.id == id && same
}

/// Whether the head alone says that this is the answer, and cut.
fn is_cut(datagram: &[u8], id: u16) -> bool {
    let Some((&[a, b, c, d], _)) = datagram.split_first_chunk() else {
        return false;
    };
    let head = Message {
        id: u16::from_be_bytes([a, b]),
        flags: u16::from_be_bytes([c, d]),
        ..Message::default()
    };
    head.id == id && head.is_response() && head.is_query() && head.flags & TRUNCATED != 0
}
