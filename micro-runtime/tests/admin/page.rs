//! The page for a person.

use micro_runtime::call::Frame;
use micro_runtime::registry::{Memory, Node, RegisterOptions, Registry, Service as Entry};

use crate::asking::{get, service};

const HOSTILE: &str = "\"><script>alert('x')</script><img src=x onerror=alert(1)>&amp;\u{202e}";

#[tokio::test]
async fn what_a_node_says_about_itself_cannot_become_html() {
    let registry = Memory::new();
    let mut entry = Entry::new("hostile", HOSTILE);
    let mut node = Node::new(HOSTILE, "127.0.0.1:1");
    node.metadata.insert("protocols".into(), HOSTILE.into());
    node.metadata.insert(HOSTILE.into(), HOSTILE.into());
    entry.nodes.push(node);
    registry
        .register(&entry, RegisterOptions::default())
        .await
        .unwrap();
    let running = service("caller", &registry)
        .version(HOSTILE)
        .start()
        .await
        .unwrap();
    for name in ["hostile", HOSTILE] {
        let call = running.client().request(name, HOSTILE, Frame::default());
        call.await.unwrap_err();
    }
    let page = get(&running, "/").await;
    assert_eq!(
        page.header("Content-Type"),
        Some("text/html; charset=utf-8")
    );
    assert!(page.body.contains("&lt;script&gt;alert(&#39;x&#39;)"));
    for wrong in ["<script", "<img", "alert('", "\u{202e}"] {
        assert!(!page.body.contains(wrong), "{wrong}");
    }
    // Only tags and attributes of the page's own.
    for tag in page.body.split('<').skip(1) {
        let (inside, _) = tag.split_once('>').unwrap();
        assert!(
            inside
                .chars()
                .all(|char| char.is_ascii_graphic() || char == ' '),
            "{inside}"
        );
        assert!(
            !inside.contains("on") || !inside.contains("onerror"),
            "{inside}"
        );
    }
    running.stop().await.unwrap();
}

#[tokio::test]
async fn a_page_loads_itself_again_where_it_is_asked_to_and_has_no_script() {
    let running = service("paged", &Memory::new()).start().await.unwrap();
    let page = get(&running, "/").await.body;
    assert!(page.contains("<h1>paged</h1>"));
    assert!(!page.contains("http-equiv"));
    let page = get(&running, "/?refresh=5").await.body;
    assert!(page.contains("<meta http-equiv=\"refresh\" content=\"5\">"));
    for wrong in [
        "/?refresh=0",
        "/?refresh=",
        "/?refresh=5;url=http://evil.example",
        "/?refresh=5\"",
    ] {
        assert!(
            !get(&running, wrong).await.body.contains("http-equiv"),
            "{wrong}"
        );
    }
    let style = get(&running, "/style.css").await;
    assert_eq!(
        style.header("Content-Type"),
        Some("text/css; charset=utf-8")
    );
    assert!(style.body.contains("prefers-color-scheme: dark"));
    running.stop().await.unwrap();
}
