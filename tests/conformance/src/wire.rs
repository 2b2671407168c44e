//! Messages on the standard streams: four bytes of length, most significant first, and the message.

use prost::Message;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::Failure;

/// The next message; `None` at the end.
pub(crate) async fn read<M: Message + Default>(
    input: &mut (impl AsyncRead + Unpin),
) -> Result<Option<M>, Failure> {
    let mut length = [0; 4];
    match input.read_exact(&mut length).await {
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error.into()),
    }
    let mut message = vec![0; usize::try_from(u32::from_be_bytes(length))?];
    input.read_exact(&mut message).await?;
    Ok(Some(M::decode(&*message)?))
}

/// Writes `message`, and all of it at once.
pub(crate) async fn write(
    output: &mut (impl AsyncWrite + Unpin),
    message: &impl Message,
) -> Result<(), Failure> {
    let encoded = message.encode_to_vec();
    let mut framed = u32::try_from(encoded.len())?.to_be_bytes().to_vec();
    framed.extend(encoded);
    output.write_all(&framed).await?;
    output.flush().await?;
    Ok(())
}
