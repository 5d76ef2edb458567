//! People and the programs that act for them: sessions, second factors, certificates, tokens, and the record of who came in.

pub mod api_token;
pub mod certificate;
pub mod factor;
pub mod log;
pub mod session;
pub mod sign_in;
pub mod subject;
#[cfg(test)]
pub(crate) mod testing;
