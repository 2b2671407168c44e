pub(crate) async fn run() -> Result<(), crate::Failure> { Ok(()) }
