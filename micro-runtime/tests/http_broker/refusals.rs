//! Requests that are refused, and how much a peer can make a broker hold.

use std::sync::Arc;
use std::time::Duration;

use micro_runtime::broker::{Broker, Http, HttpOptions, Message, SubscribeOptions};
use micro_runtime::registry::Memory;
use micro_runtime::tasks::Tasks;
use micro_runtime::transport::{Tcp, Transport};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

use crate::world::{World, answer, hi, open, post, status, subscribe};

#[tokio::test]
async fn requests_of_the_wrong_form_are_refused() {
    let world = World::default();
    let broker = world.broker();
    let mut heard = subscribe(&broker, "t", "").await;
    let node = world.node().await;
    let good = post(&node.id, &hi("t"));
    let with = |from: &str, to: &str| {
        assert!(good.contains(from), "{from}");
        good.replacen(from, to, 1)
    };
    let json = "Content-Type: application/json\r\n";
    for (request, code) in [
        (with("Host", "Origin: http://example.org\r\nHost"), "403"),
        (with("Host", "Origin: \r\nHost"), "403"),
        (with("POST", "GET"), "405"),
        (with("POST", "OPTIONS"), "405"),
        (with("POST", "PUT"), "405"),
        (with("Host: 127.0.0.1:1\r\n", ""), "400"),
        (with("Host", "Host: b\r\nHost"), "400"),
        (with(json, ""), "415"),
        (with(json, "Content-Type: text/plain\r\n"), "415"),
        (
            with(json, "Content-Type: multipart/form-data; boundary=x\r\n"),
            "415",
        ),
        (
            with(json, "Content-Type: application/x-www-form-urlencoded\r\n"),
            "415",
        ),
        (with(json, "Content-Type: application/jsonx\r\n"), "415"),
        (with(json, &format!("{json}{json}")), "415"),
        (
            with(json, &format!("{json}Content-Encoding: gzip\r\n")),
            "415",
        ),
        (with("/?id", "/_sub?id"), "404"),
        (with("/?id", "//?id"), "404"),
        (with("?id", "?ID"), "404"),
        (with("?id=", "?id=x"), "404"),
        (post(&node.id, &hi("u")), "404"),
        (with("HTTP/1.1", "HTTP/2.0"), "400"),
        (
            with("Content-Length", "Transfer-Encoding: gzip\r\nX"),
            "501",
        ),
        (
            with("Content-Length", "Content-Length: 3\r\nContent-Length"),
            "400",
        ),
        (with("Content-Length: ", "Content-Length: x"), "400"),
        (
            with("Host", &format!("X: {}\r\nHost", "y".repeat(20_000))),
            "431",
        ),
        (
            with("Host", &format!("{}Host", "X: y\r\n".repeat(100))),
            "431",
        ),
        ("\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}\r\n\r\n".to_owned(), "400"),
        ("hello\r\n\r\n".to_owned(), "400"),
    ] {
        let said = world.say(&node.address, request.as_bytes()).await;
        assert_eq!(status(&said), code, "{request:.300}\n{said}");
        let error = said.split_once("\r\n\r\n").unwrap().1;
        assert!(
            error.starts_with("{\"id\":\"go.micro.broker\",\"code\":"),
            "{error}"
        );
    }
    assert!(heard.words().await.is_empty());
    // What is only unusual is taken.
    for request in [
        good.clone(),
        with(json, "content-type: Application/JSON; charset=utf-8\r\n"),
        with("Accept-Encoding: gzip", "Content-Encoding: identity"),
        with("HTTP/1.1", "HTTP/1.0"),
        with("Host: 127.0.0.1:1\r\n", "Host: anything\r\n"),
    ] {
        let said = world.say(&node.address, request.as_bytes()).await;
        assert_eq!(status(&said), "200", "{request}\n{said}");
        assert_eq!(heard.words().await, ["hi"]);
    }
}

#[tokio::test]
async fn on_loopback_the_host_must_be_loopback_or_what_is_told_to_others() {
    let mut options = HttpOptions::default();
    options.address = Some("127.0.0.1:0".to_owned());
    options.advertise = Some("broker.example.org".to_owned());
    let broker = Http::with(Arc::new(Memory::new()), &Tasks::new(), options).unwrap();
    let _subscription = open(&broker, "t", "").await;
    let told = broker.address().unwrap();
    let (name, port) = told.split_once(':').unwrap();
    assert_eq!(name, "broker.example.org");
    for (host, code) in [
        ("example.org", "403"),
        ("broker.example.org", "403"),
        ("127.0.0.1.example.org", "403"),
        ("10.0.0.1", "403"),
        ("", "403"),
        (&told, "404"),
        ("localhost", "404"),
        ("127.0.0.1:1", "404"),
        ("[::1]", "404"),
    ] {
        let address = format!("127.0.0.1:{port}");
        let mut line = Tcp.dial(&address).await.unwrap().io;
        let request = post("x", &hi("t")).replace("127.0.0.1:1", host);
        line.write_all(request.as_bytes()).await.unwrap();
        let said = answer(&mut line).await;
        assert_eq!(status(&said), code, "{host}: {said}");
    }
}

#[tokio::test]
async fn where_nothing_is_said_a_registry_of_this_machine_means_loopback() {
    let broker = Http::new(Arc::new(Memory::new()), &Tasks::new());
    let _subscription = open(&broker, "t", "").await;
    let address = broker.address().unwrap();
    assert!(address.starts_with("127.0.0.1:"), "{address}");
}

#[tokio::test]
async fn posts_are_bounded_and_the_bound_is_reached() {
    let world = World::default();
    let mut options = world.options();
    options.max_post = 1000;
    let broker = world.broker_with(options);
    let mut heard = subscribe(&broker, "t", "").await;
    let node = world.node().await;
    let padded = |length: usize| {
        let body = hi("t");
        format!("{body}{}", " ".repeat(length - body.len()))
    };
    let said = world
        .say(&node.address, post(&node.id, &padded(1000)).as_bytes())
        .await;
    assert_eq!(status(&said), "200");
    let said = world
        .say(&node.address, post(&node.id, &padded(1001)).as_bytes())
        .await;
    assert_eq!(status(&said), "413");
    // Nothing of what is announced need come.
    let huge =
        post(&node.id, "").replace("Content-Length: 0", "Content-Length: 99999999999999999999");
    assert_eq!(
        status(&world.say(&node.address, huge.as_bytes()).await),
        "413"
    );
    let chunked = post(&node.id, "").replace("Content-Length: 0", "Transfer-Encoding: chunked");
    let chunks = format!("{chunked}400\r\n{}", "x".repeat(0x400));
    assert_eq!(
        status(&world.say(&node.address, chunks.as_bytes()).await),
        "413"
    );
    let body = hi("t");
    let (one, two) = body.split_at(7);
    let good = format!(
        "{chunked}7\r\n{one}\r\n{:x}\r\n{two}\r\n0\r\n\r\n",
        two.len()
    );
    assert_eq!(
        status(&world.say(&node.address, good.as_bytes()).await),
        "200"
    );
    assert_eq!(heard.words().await, ["hi", "hi"]);
}

#[tokio::test]
async fn messages_of_four_mebibytes_are_taken_and_much_longer_ones_are_not() {
    let world = World::default();
    let broker = world.broker();
    let mut heard = subscribe(&broker, "t", "").await;
    let publisher = world.broker();
    let long = |length: usize| Message::new(vec![b'x'; length]);
    publisher.publish("t", long(4 << 20)).await.unwrap();
    let error = publisher.publish("t", long(5 << 20)).await.unwrap_err();
    assert!(error.detail().contains("it answered 413"), "{error}");
    assert_eq!(heard.words().await, ["x".repeat(4 << 20)]);
}

#[tokio::test(start_paused = true)]
async fn all_posts_together_are_bounded() {
    let world = World::default();
    let mut options = world.options();
    options.max_held = 4000;
    let broker = world.broker_with(options);
    let mut subscription = open(&broker, "t", "").await;
    let node = world.node().await;
    let body = hi("t");
    let request = post(
        &node.id,
        &format!("{body}{}", " ".repeat(1100 - body.len())),
    );
    assert!((1001..1333).contains(&request.len()), "three fit, not four");
    let began = Instant::now();
    let mut lines = Vec::new();
    // One is being dealt with, one waits in the queue, one has not come yet but for its end.
    for count in [request.len(), request.len(), request.len() - 1] {
        let mut line = world.dial(&node.address).await;
        line.write_all(&request.as_bytes()[..count]).await.unwrap();
        lines.push(line);
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let delivery = subscription.next().await.unwrap();
    let said = world.say(&node.address, request.as_bytes()).await;
    assert_eq!(status(&said), "503");
    assert!(said.contains("as many bytes as they may"), "{said}");
    assert_eq!(
        began.elapsed(),
        Duration::from_millis(3),
        "it waits for nothing"
    );
    // What is done with is not counted any more, nor what does not come.
    delivery.ack();
    assert_eq!(status(&answer(&mut lines[0]).await), "200");
    drop(lines.pop());
    tokio::time::sleep(Duration::from_millis(1)).await;
    for _ in 0..5 {
        let (said, ()) = tokio::join!(world.say(&node.address, request.as_bytes()), async {
            subscription.next().await.unwrap().ack()
        });
        assert_eq!(status(&said), "200");
    }
}

#[tokio::test(start_paused = true)]
async fn slow_and_silent_peers_are_let_go() {
    let world = World::default();
    let broker = world.broker();
    let _subscription = open(&broker, "t", "").await;
    let address = world.node().await.address;
    for (says, code, after) in [
        ("POST /", "408", 30),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n{",
            "408",
            30,
        ),
        ("", "", 90),
    ] {
        let mut line = world.dial(&address).await;
        line.write_all(says.as_bytes()).await.unwrap();
        let began = Instant::now();
        let said = answer(&mut line).await;
        assert_eq!(status(&said), code, "{said}");
        assert_eq!(began.elapsed().as_secs(), after, "{says}");
    }
    // A byte now and then does not help.
    let mut line = world.dial(&address).await;
    let began = Instant::now();
    let (mut read, mut write) = tokio::io::split(&mut line);
    let mut said = Vec::new();
    let drip = async {
        loop {
            let _ = write.write_all(b"P").await;
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    tokio::select! {
        biased;
        _ = read.read_to_end(&mut said) => {}
        () = drip => {}
    }
    assert!(began.elapsed() < Duration::from_secs(35));
    assert!(
        said.starts_with(b"HTTP/1.1 408 "),
        "{}",
        said.escape_ascii()
    );
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_is_waited_for_and_then_told() {
    let world = World::default();
    let broker = world.broker();
    let mut one = SubscribeOptions::default();
    one.capacity = 1;
    let mut subscription = broker.subscribe("t", one).await.unwrap();
    let node = world.node().await;
    let request = post(&node.id, &hi("t"));
    let mut first = world.dial(&node.address).await;
    first.write_all(request.as_bytes()).await.unwrap();
    let began = Instant::now();
    let said = world.say(&node.address, request.as_bytes()).await;
    assert_eq!(status(&said), "503", "{said}");
    assert!(said.contains("no room"), "{said}");
    assert_eq!(began.elapsed().as_secs(), 3);
    // Who is in the queue is answered when it is dealt with.
    let (said, ()) = tokio::join!(answer(&mut first), async {
        subscription.next().await.unwrap().ack();
    });
    assert_eq!(status(&said), "200");
    assert_eq!(began.elapsed().as_secs(), 3);
    // Or when nobody wants to wait any longer, and then the handler goes on.
    let mut line = world.dial(&node.address).await;
    line.write_all(request.as_bytes()).await.unwrap();
    let delivery = subscription.next().await.unwrap();
    assert_eq!(status(&answer(&mut line).await), "200");
    assert_eq!(began.elapsed().as_secs(), 33);
    delivery.ack();
}

#[tokio::test]
async fn connections_are_bounded() {
    let world = World::default();
    let mut options = world.options();
    options.max_connections = 2;
    let broker = world.broker_with(options);
    let mut heard = subscribe(&broker, "t", "").await;
    let node = world.node().await;
    let request = post(&node.id, &hi("t"));
    let mut kept = Vec::new();
    for _ in 0..2 {
        let mut line = world.dial(&node.address).await;
        line.write_all(request.as_bytes()).await.unwrap();
        assert_eq!(status(&answer(&mut line).await), "200");
        kept.push(line);
    }
    let mut third = world.dial(&node.address).await;
    let _ = third.write_all(request.as_bytes()).await;
    assert_eq!(
        third.read(&mut [0; 64]).await.unwrap_or(0),
        0,
        "it is closed"
    );
    // A connection that is kept serves on; one that is gone makes room.
    kept[0].write_all(request.as_bytes()).await.unwrap();
    assert_eq!(status(&answer(&mut kept[0]).await), "200");
    drop(kept);
    while status(&world.say(&node.address, request.as_bytes()).await) != "200" {
        tokio::task::yield_now().await;
    }
    assert_eq!(heard.words().await, ["hi"; 4]);
}

#[tokio::test]
async fn topics_without_a_name_and_a_queue_that_means_none_are_refused() {
    let world = World::default();
    let broker = world.broker();
    let error = broker.publish("", Message::new("m")).await.unwrap_err();
    assert_eq!(error.code(), 400);
    let options = SubscribeOptions::default();
    assert_eq!(broker.subscribe("", options).await.unwrap_err().code(), 400);
    let options = SubscribeOptions::queue("ff.http.broadcast");
    assert_eq!(
        broker.subscribe("t", options).await.unwrap_err().code(),
        400
    );
    assert_eq!(broker.address(), None);
}
