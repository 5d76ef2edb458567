//! People and the programs that act for them: sessions, second factors, tokens, and the record of who came in.

pub mod api_token;
pub mod factor;
pub mod session;
pub mod sign_in;
