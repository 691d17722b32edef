//! Loads and pulls images, with an eye on how much comes.

use crate::container::engine::Engine;
use crate::container::name::is_digest;
use crate::run::RunError;
use bollard::models::CreateImageInfo;
use bollard::query_parameters::{CreateImageOptions, ImportImageOptions};
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;
use tokio::io::AsyncReadExt;

/// How long a registry may be silent.
const STALL: Duration = Duration::from_secs(180);
/// Bytes read at once of an archive.
const PIECE: usize = 256 * 1024;

/// Hands an archive to the engine. Returns the id that the engine says.
pub(super) async fn load(engine: &Engine, archive: &Path) -> Result<Option<String>, RunError> {
    let file = tokio::fs::File::open(archive)
        .await
        .map_err(|e| RunError::Device(format!("the image's archive cannot be read: {e}")))?;
    let options = ImportImageOptions { quiet: true, ..Default::default() };
    let mut said = engine.docker.import_image_stream(options, pieces(file), None);
    let mut id = None;
    while let Some(line) = said.next().await {
        let line = line.map_err(|e| RunError::Image(format!("the container engine refuses it: {e}")))?;
        // "Loaded image ID: sha256:...", or "Loaded image: sha256:..." of Podman.
        let words = line.stream.iter().flat_map(|text| text.split_whitespace());
        id = words.filter(|word| is_digest(word)).map(ToOwned::to_owned).next_back().or(id);
    }
    Ok(id)
}

fn pieces(file: tokio::fs::File) -> impl Stream<Item = std::io::Result<Bytes>> + Send {
    futures_util::stream::unfold(Some(file), |file| async {
        let mut file = file?;
        let mut piece = vec![0; PIECE];
        match file.read(&mut piece).await {
            Ok(0) => None,
            Ok(n) => {
                piece.truncate(n);
                Some((Ok(piece.into()), Some(file)))
            }
            Err(e) => Some((Err(e), None)),
        }
    })
}

/// Pulls an image by digest. Dropping the future ends it.
pub(super) async fn pull(
    engine: &Engine,
    repository: &str,
    digest: &str,
    max: u64,
    say: &mut (dyn FnMut(String) + Send),
) -> Result<(), RunError> {
    let options = CreateImageOptions {
        from_image: Some(repository.to_owned()),
        tag: Some(digest.to_owned()),
        ..Default::default()
    };
    let mut said = engine.docker.create_image(Some(options), None, None);
    let mut progress = Progress::default();
    say(format!("fetching the image {repository}"));
    loop {
        let next = tokio::time::timeout(STALL, said.next())
            .await
            .map_err(|_| RunError::Image(format!("{repository} is not coming: the registry is silent")))?;
        let Some(line) = next else { return Ok(()) };
        let line = line.map_err(|e| RunError::Image(format!("{repository} cannot be fetched: {e}")))?;
        if let Some(text) = progress.hear(&line) {
            say(text);
        }
        if progress.total() > max {
            return Err(RunError::Image(format!(
                "{repository} has more than the {max} bytes that an image may have here"
            )));
        }
    }
}

/// How far a pull is, over all layers.
#[derive(Default)]
struct Progress {
    layers: HashMap<String, (u64, u64)>,
    told: u64,
}

/// Most layers that are followed.
const MAX_LAYERS: usize = 256;

impl Progress {
    fn total(&self) -> u64 {
        self.layers.values().fold(0, |sum, (_, total)| sum.saturating_add(*total))
    }

    /// A text each time that another tenth is there.
    fn hear(&mut self, line: &CreateImageInfo) -> Option<String> {
        let (id, detail) = (line.id.as_ref()?, line.progress_detail.as_ref()?);
        if self.layers.len() >= MAX_LAYERS && !self.layers.contains_key(id) {
            return None;
        }
        let number = |n: Option<i64>| n.and_then(|n| u64::try_from(n).ok()).unwrap_or(0);
        let (current, total) = (number(detail.current), number(detail.total));
        let known = self.layers.entry(id.clone()).or_default();
        // Unpacking counts anew; a layer is as large as it was while it came.
        *known = (known.0.max(current), known.1.max(total));
        let total = self.total().max(1);
        let here = self.layers.values().fold(0u64, |sum, (here, _)| sum.saturating_add(*here));
        let tenth = here.saturating_mul(10) / total;
        if tenth <= self.told {
            return None;
        }
        self.told = tenth;
        Some(format!("fetching the image: {here} of {total} bytes"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bollard::models::ProgressDetail;

    fn line(id: &str, current: i64, total: i64) -> CreateImageInfo {
        let progress_detail = Some(ProgressDetail { current: Some(current), total: Some(total) });
        CreateImageInfo { id: Some(id.into()), progress_detail, ..Default::default() }
    }

    #[test]
    fn progress_is_told_in_tenths() {
        let mut progress = Progress::default();
        assert_eq!(progress.hear(&line("a", 5, 100)), None);
        assert!(progress.hear(&line("a", 55, 100)).unwrap().contains("55 of 100"));
        assert_eq!(progress.hear(&line("a", 56, 100)), None);
        assert_eq!(progress.hear(&line("b", -5, -1)), None);
        assert_eq!(progress.hear(&line("b", 0, i64::MAX)), None);
        assert_eq!(progress.hear(&line("c", i64::MAX, i64::MAX)), None);
        assert_eq!(progress.total(), u64::MAX);
    }
}
