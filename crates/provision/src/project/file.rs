use std::path::{Path, PathBuf};

use foretell_types::{Error, Result};

use super::node::{Node, read};
use crate::stack::StackName;

const FILES: [&str; 3] = ["Pulumi.yaml", "Pulumi.yml", "Pulumi.json"];

/// A Pulumi project: the folder of a Pulumi.yaml.
#[derive(Clone, Debug)]
pub struct Project {
    pub name: String,
    /// `python`, `nodejs`, `yaml`.
    pub runtime: String,
    /// The folder of Pulumi.yaml.
    pub dir: PathBuf,
    pub file: PathBuf,
    /// What is run: a folder, or a file of a language that allows one.
    pub main: PathBuf,
    pub node: Node,
}

/// A key of the configuration as Pulumi.yaml declares it.
#[derive(Clone, Debug)]
pub struct Declared {
    /// With its namespace.
    pub key: String,
    pub kind: Option<String>,
    pub default: Option<Node>,
    pub secret: bool,
    pub line: usize,
}

impl Project {
    /// Finds the project of a folder, or of one above it, as Pulumi does.
    pub fn find(dir: &Path) -> Result<Project> {
        let at = |error| Error::io(format_args!("can't look into {}", dir.display()), error);
        let start = std::fs::canonicalize(dir).map_err(at)?;
        let files = start
            .ancestors()
            .flat_map(|folder| FILES.iter().map(|name| folder.join(name)));
        let file = files.into_iter().find(|file| file.is_file());
        let file = file.ok_or_else(|| {
            Error::not_found(format!(
                "there is no Pulumi.yaml in {} or above it: name the folder of a Pulumi program",
                start.display()
            ))
        })?;
        let node = read(&file)?;
        Project::of(&file, node).map_err(|error| error.context(file.display()))
    }

    fn of(file: &Path, node: Node) -> Result<Project> {
        let dir = file.parent().unwrap_or(Path::new(".")).to_owned();
        let name = node.get("name").and_then(Node::text);
        let name = name.ok_or_else(|| Error::invalid("the name of the project is missing"))?;
        // The rules for names are those of a stack's.
        StackName::new(name, "dev")?;
        let runtime = node
            .get("runtime")
            .and_then(|runtime| runtime.text().or_else(|| runtime.get("name")?.text()));
        let runtime = runtime
            .ok_or_else(|| Error::invalid("the runtime is missing: python, nodejs or yaml"))?;
        let main = match node.get("main").and_then(Node::text) {
            Some(main) => dir.join(main),
            None => dir.clone(),
        };
        Ok(Project {
            name: name.to_owned(),
            runtime: runtime.to_owned(),
            main,
            file: file.to_owned(),
            dir,
            node,
        })
    }

    /// Where the program's relative paths begin.
    pub fn working_dir(&self) -> PathBuf {
        match self.main.is_file() {
            true => self.main.parent().unwrap_or(&self.dir).to_owned(),
            false => self.main.clone(),
        }
    }

    /// An option of the runtime, such as `virtualenv`.
    pub fn runtime_option(&self, name: &str) -> Option<&Node> {
        self.node.get("runtime")?.get("options")?.get(name)
    }

    pub fn declared(&self) -> Result<Vec<Declared>> {
        let mut all = Vec::new();
        for part in ["config", "configuration"] {
            // A text is the folder of the stacks' files.
            let Some(node) = self.node.get(part).filter(|node| node.text().is_none()) else {
                continue;
            };
            for (key, node) in node.entries(part)? {
                all.push(self.declare(key, node)?);
            }
        }
        Ok(all)
    }

    fn declare(&self, key: &str, node: &Node) -> Result<Declared> {
        let mut declared = Declared {
            key: full_key(&self.name, key),
            kind: None,
            default: None,
            secret: false,
            line: node.line,
        };
        // A map says of what kind it is, anything else is the value itself.
        if let Ok(entries) = node.entries(key) {
            let known = [
                "type",
                "default",
                "value",
                "secret",
                "description",
                "name",
                "items",
            ];
            node.only(&format!("configuration key {key:?}"), &known)?;
            if entries.is_empty() {
                return Ok(declared);
            }
            declared.kind = node.get("type").and_then(Node::text).map(str::to_lowercase);
            declared.default = node.get("default").or(node.get("value")).cloned();
            declared.secret = matches!(
                node.get("secret").map(|node| &node.data),
                Some(super::Data::Bool(true))
            );
        } else {
            declared.default = Some(node.clone());
        }
        Ok(declared)
    }

    /// The file with a stack's configuration.
    pub fn stack_file(&self, stack: &str) -> PathBuf {
        let folder = ["stackConfigDir", "config"]
            .iter()
            .find_map(|key| self.node.get(key).and_then(Node::text))
            .map_or_else(|| self.dir.clone(), |folder| self.dir.join(folder));
        let extension = self.file.extension().unwrap_or_default().to_string_lossy();
        folder.join(format!("Pulumi.{stack}.{extension}"))
    }
}

/// A key with its namespace; the project's own is left out in files.
pub fn full_key(project: &str, key: &str) -> String {
    // Before namespaces were as they are, there was a `config` between.
    let key = key.replace(":config:", ":");
    match key.contains(':') {
        true => key,
        false => format!("{project}:{key}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn project(text: &str) -> Result<Project> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("Pulumi.yaml"), text).unwrap();
        std::fs::create_dir(dir.path().join("below")).unwrap();
        Project::find(&dir.path().join("below"))
    }

    #[test]
    fn a_runtime_is_a_text_or_a_map() {
        for text in [
            "name: shop\nruntime: python\n",
            "name: shop\nruntime:\n  name: python\n  options:\n    virtualenv: env\n",
        ] {
            let project = project(text).unwrap();
            assert_eq!(
                (project.name.as_str(), project.runtime.as_str()),
                ("shop", "python")
            );
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        let check = |text, expected: &str| {
            let error = project(text).unwrap_err();
            assert!(error.message().contains(expected), "{error}");
        };
        check(
            "runtime: python\n",
            "Pulumi.yaml: the name of the project is missing",
        );
        check("name: shop\n", "the runtime is missing");
        check(
            "name: a b\nruntime: python\n",
            "\"a b\" is not the name of a project",
        );
    }
}
