use axum::extract::{Request, State};
use foretell_log::RootAt;
use foretell_types::{Error, Result};
use serde_json::json;

use super::answer::Answer;
use super::parameters::Parameters;
use super::{Server, progress, require_admin};

/// `POST /verify?leaves=&root=`: reads everything again, and checks that the log still holds what it
/// held when it had this root; lines as `progress` has them, at the end what was found sound.
pub async fn verify(State(node): Server, request: Request) -> Answer {
    require_admin(&node, &request)?;
    let earlier = earlier_root(&Parameters::parse(request.uri(), &ROOT_AT)?)?;
    progress::lines(move |tell| {
        let cut = node.log.cut_ends()?;
        let cut: Vec<String> = cut.iter().map(|path| path.display().to_string()).collect();
        let progress = &mut |done, total| tell("verifying", done, total);
        let found = match earlier {
            Some(earlier) => node.log.verify_since(earlier, progress)?,
            None => node.log.verify(progress)?,
        };
        Ok(json!({
            "commits": found.commits,
            "frames": found.frames,
            "events": found.events,
            "topics": found.topics,
            "root": found.root.to_string(),
            "signed": node.sign_root(found.frames, &found.root),
            "held": earlier.map(|earlier| earlier.leaves),
            "cut": cut,
        }))
    })
}

/// The parameters that name a root that the log had.
pub const ROOT_AT: [&str; 2] = ["leaves", "root"];

/// The root that the parameters in [`ROOT_AT`] name.
pub fn earlier_root(parameters: &Parameters) -> Result<Option<RootAt>> {
    match (parameters.number("leaves")?, parameters.get("root")) {
        (Some(leaves), Some(root)) => Ok(Some(RootAt {
            leaves,
            root: root.parse()?,
        })),
        (None, None) => Ok(None),
        _ => Err(Error::invalid(
            "leaves and root go together: the number of frames that the log had, and its root then",
        )),
    }
}
