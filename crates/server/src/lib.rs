//! The Foretell server: one data directory over HTTP.
//!
//! [`Node`] is the data directory at work; [`router`] speaks Event Grid, CloudEvents and the
//! store API over it; [`serve`] listens. A command that works on a directory on its own calls the
//! same router without a socket.
//!
//! ```no_run
//! # async fn example() -> foretell_types::Result<()> {
//! use foretell_server::{Application, Node, NodeOptions};
//!
//! let application = Application::read("app".as_ref())?;
//! let options = NodeOptions { data: "foretell-data".into(), application, deliver: true };
//! let node = Node::open(options).await?;
//! let listening = foretell_server::listen(&node, "127.0.0.1:4077").await?;
//! println!("listening on {}", listening.url());
//! foretell_server::serve(node, listening, std::future::pending()).await
//! # }
//! ```

mod http;
mod listen;
mod node;
mod telemetry;
mod tls;

pub use foretell_functions::Status as AppStatus;
pub use http::{backed_up_to_json, check_proof, router};
pub use listen::{ListenOptions, Listening, listen, serve};
pub use node::{Application, Node, NodeOptions, StateAnswer, admin_key};
pub use tls::server_certificate;
