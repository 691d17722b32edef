//! Talking to the running node of a data folder.

use anyhow::{Context, Result};
use fog_api::{ApiError, Command, ErrorKind, Hash, Request};
use fog_node::web::Access;
use std::path::Path;
use std::time::Duration;
use ureq::Agent;

/// No node runs for the data folder.
#[derive(Debug, thiserror::Error)]
#[error("no node is running for the data folder {0}: start one with `fog node`")]
pub(crate) struct NotRunning(pub(crate) String);

/// A connection to the node.
pub(crate) struct Client {
    access: Access,
    agent: Agent,
    data_dir: String,
}

impl Client {
    /// Finds the node of this data folder.
    pub(crate) fn find(data_dir: &Path) -> Result<Self> {
        let shown = data_dir.display().to_string();
        let text = std::fs::read(data_dir.join(Access::FILE)).map_err(|_| NotRunning(shown.clone()))?;
        let access =
            serde_json::from_slice(&text).context("the node's address file is damaged: restart the node")?;
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(Duration::from_secs(5)))
            .build()
            .into();
        Ok(Self { access, agent, data_dir: shown })
    }

    pub(crate) fn access(&self) -> &Access {
        &self.access
    }

    fn bearer(&self) -> String {
        format!("Bearer {}", self.access.token)
    }

    fn reply(&self, sent: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Result<ureq::Body> {
        let response = match sent {
            Ok(response) => response,
            Err(ureq::Error::Io(_) | ureq::Error::ConnectionFailed | ureq::Error::Timeout(_)) => {
                return Err(NotRunning(self.data_dir.clone()).into());
            }
            Err(e) => return Err(e.into()),
        };
        let ok = response.status().is_success();
        let mut body = response.into_body();
        if ok {
            return Ok(body);
        }
        let error: ApiError = body.read_json().unwrap_or_else(|_| {
            ApiError::new(ErrorKind::Internal, "the node gave an answer that makes no sense")
        });
        Err(error.into())
    }

    /// Asks, and reads the reply.
    pub(crate) fn call<R: Request>(&self, request: R) -> Result<R::Reply> {
        let command: Command = request.into();
        let url = format!("{}/api/command", self.access.url);
        let sent = self.agent.post(&url).header("authorization", self.bearer()).send_json(&command);
        // The default limit of 10 MB is for strangers; this is our own node.
        self.reply(sent)?.with_config().limit(1 << 30).read_json().context("the node's reply makes no sense")
    }

    /// Uploads a file, which gives its hash.
    pub(crate) fn upload(&self, path: &Path) -> Result<Hash> {
        let file = std::fs::File::open(path).with_context(|| format!("{} cannot be read", path.display()))?;
        self.upload_reader(file)
    }

    /// Uploads everything that a reader gives.
    pub(crate) fn upload_reader(&self, from: impl std::io::Read + Send + 'static) -> Result<Hash> {
        let url = format!("{}/api/blobs", self.access.url);
        let sent = self
            .agent
            .post(&url)
            .header("authorization", self.bearer())
            .send(ureq::SendBody::from_owned_reader(from));
        self.reply(sent)?.read_json().context("the node's reply makes no sense")
    }

    /// Downloads content into a writer.
    pub(crate) fn download(&self, hash: &str, to: &mut impl std::io::Write) -> Result<u64> {
        let url = format!("{}/api/blobs/{hash}", self.access.url);
        let mut body = self.reply(self.agent.get(&url).header("authorization", self.bearer()).call())?;
        Ok(std::io::copy(&mut body.with_config().limit(1 << 30).reader(), to)?)
    }
}
