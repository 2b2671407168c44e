//! Listening on the first free port of a range.

use super::{Listener, Transport};
use crate::error::{Error, Result, id};

/// Listens on `address`; `host:5000-6000` is the first port of the range that can be had, as in Go
/// Micro.
///
/// # Errors
/// Where no port can be had, in the words of the last; 400 where the range has its end before its
/// beginning.
pub(crate) async fn listen(transport: &dyn Transport, address: &str) -> Result<Box<dyn Listener>> {
    let Some((host, first, last)) = range(address) else {
        return transport.listen(address).await;
    };
    let mut failed = Error::bad_request(
        id::SERVER,
        format!("cannot listen on {address}: the range of ports ends before it begins"),
    );
    for port in first..=last {
        match transport.listen(&format!("{host}:{port}")).await {
            Ok(listener) => return Ok(listener),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

/// Host, first and last port.
fn range(address: &str) -> Option<(&str, u16, u16)> {
    let (host, ports) = address.rsplit_once(':')?;
    let (first, last) = ports.split_once('-')?;
    Some((host, first.parse().ok()?, last.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::Memory;

    #[tokio::test]
    async fn the_first_free_port_of_a_range_is_taken() {
        let network = Memory::new();
        let taken = network.listen("host:5000").await.unwrap();
        let found = listen(&network, "host:5000-5001").await.unwrap();
        assert_eq!(found.address(), "host:5001");
        let full = listen(&network, "host:5000-5001").await.unwrap_err();
        assert!(full.detail().contains("host:5001"), "{full}");
        drop(taken);
        let found = listen(&network, "host:5000-5001").await.unwrap();
        assert_eq!(found.address(), "host:5000");
    }

    #[tokio::test]
    async fn a_range_backwards_is_refused_and_other_addresses_stay_as_they_are() {
        let network = Memory::new();
        let error = listen(&network, "host:6-5").await.unwrap_err();
        assert_eq!(error.code(), 400);
        for address in ["host:7", "a-b", "a-b:8", "[fd00::1]:9"] {
            let listener = listen(&network, address).await.unwrap();
            assert_eq!(listener.address(), address);
        }
    }
}
