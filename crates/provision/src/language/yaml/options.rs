//! The options of a resource in Pulumi YAML.

use foretell_types::Result;

use super::expression::Expression;
use super::reference::{Piece, pieces};
use crate::Urn;
use crate::engine::{Alias, AliasParent};
use crate::monitor::duration;
use crate::project::{Data, Node};

const KNOWN: [&str; 20] = [
    "additionalSecretOutputs",
    "aliases",
    "customTimeouts",
    "deleteBeforeReplace",
    "deletedWith",
    "dependsOn",
    "ignoreChanges",
    "import",
    "parent",
    "pluginDownloadURL",
    "protect",
    "provider",
    "providers",
    "replaceOnChanges",
    "retainOnDelete",
    "version",
    "hideDiffs",
    "replaceWith",
    "replacementTrigger",
    "urn",
];

/// Options as they are written: those that name resources by their names in the program.
#[derive(Clone, Debug, Default)]
pub struct Written {
    pub plain: crate::engine::Options,
    pub parent: Option<(usize, String)>,
    pub provider: Option<(usize, String)>,
    pub deleted_with: Option<(usize, String)>,
    pub depends_on: Vec<(usize, String)>,
    pub replace_with: Vec<(usize, String)>,
    pub protect: Option<Expression>,
    pub trigger: Option<Expression>,
}

impl Written {
    pub fn read(node: &Node) -> Result<Written> {
        node.only("options", &KNOWN)?;
        for unsupported in ["urn", "providers"] {
            if let Some(node) = node.get(unsupported) {
                return Err(node.wrong(format_args!("the option {unsupported:?} isn't supported")));
            }
        }
        let mut written = Written::default();
        let plain = &mut written.plain;
        plain.ignore_changes = texts(node, "ignoreChanges")?;
        plain.replace_on_changes = texts(node, "replaceOnChanges")?;
        plain.additional_secret_outputs = texts(node, "additionalSecretOutputs")?;
        plain.delete_before_replace = boolean(node, "deleteBeforeReplace")?;
        plain.retain_on_delete = boolean(node, "retainOnDelete")?.unwrap_or(false);
        plain.import = node.get("import").and_then(Node::text).map(str::to_owned);
        if let Some(timeouts) = node.get("customTimeouts") {
            timeouts.only("customTimeouts", &["create", "update", "delete", "read"])?;
            let read = |name: &str| match timeouts.get(name) {
                Some(node) => {
                    duration(node.text().unwrap_or("x")).map_err(|error| node.wrong(error))
                }
                None => Ok(None),
            };
            plain.timeouts.create = read("create")?;
            plain.timeouts.update = read("update")?;
            plain.timeouts.delete = read("delete")?;
        }
        if let Some(aliases) = node.get("aliases") {
            let aliases = aliases.items("aliases")?.iter().map(alias);
            plain.aliases = aliases.collect::<Result<_>>()?;
        }
        written.parent = named(node, "parent")?;
        written.provider = named(node, "provider")?;
        written.deleted_with = named(node, "deletedWith")?;
        written.depends_on = all_named(node, "dependsOn")?;
        written.replace_with = all_named(node, "replaceWith")?;
        written.protect = node.get("protect").map(Expression::of).transpose()?;
        written.trigger = node
            .get("replacementTrigger")
            .map(Expression::of)
            .transpose()?;
        Ok(written)
    }

    pub fn references(&self, found: &mut Vec<(usize, String)>) {
        let single = [&self.parent, &self.provider, &self.deleted_with];
        found.extend(single.into_iter().flatten().cloned());
        found.extend(self.depends_on.iter().chain(&self.replace_with).cloned());
        for expression in [&self.protect, &self.trigger].into_iter().flatten() {
            expression.references(found);
        }
    }
}

fn texts(node: &Node, name: &str) -> Result<Vec<String>> {
    let Some(node) = node.get(name) else {
        return Ok(Vec::new());
    };
    let items = node.items(name)?.iter();
    let texts = items.map(|item| {
        let text = item.text().map(str::to_owned);
        text.ok_or_else(|| item.wrong(format_args!("{name} is a list of texts")))
    });
    texts.collect()
}

fn boolean(node: &Node, name: &str) -> Result<Option<bool>> {
    match node.get(name).map(|node| (&node.data, node)) {
        None => Ok(None),
        Some((Data::Bool(yes), _)) => Ok(Some(*yes)),
        Some((_, node)) => Err(node.wrong(format_args!("{name} is true or false"))),
    }
}

fn named(node: &Node, name: &str) -> Result<Option<(usize, String)>> {
    let node = node.get(name);
    node.map(|node| Ok((node.line, reference_name(node)?)))
        .transpose()
}

fn all_named(node: &Node, name: &str) -> Result<Vec<(usize, String)>> {
    let Some(node) = node.get(name) else {
        return Ok(Vec::new());
    };
    let one = [node.clone()];
    let items = match &node.data {
        Data::List(items) => items.as_slice(),
        _ => &one,
    };
    items
        .iter()
        .map(|item| Ok((item.line, reference_name(item)?)))
        .collect()
}

/// The name in a reference that names a resource as a whole.
pub fn reference_name(node: &Node) -> Result<String> {
    let wrong = || node.wrong("expected a resource of the program, as ${name}");
    let pieces = pieces(node.text().ok_or_else(wrong)?).map_err(|why| node.wrong(why))?;
    match pieces.as_slice() {
        [Piece::Reference(reference)] if reference.path.is_empty() => Ok(reference.name.clone()),
        _ => Err(wrong()),
    }
}

fn alias(node: &Node) -> Result<Alias> {
    if let Some(urn) = node.text() {
        return Urn::parse(urn)
            .map(Alias::Urn)
            .map_err(|error| node.wrong(error));
    }
    node.only(
        "an alias",
        &[
            "name",
            "type",
            "stack",
            "project",
            "parent",
            "parentUrn",
            "noParent",
            "urn",
        ],
    )?;
    let text = |name: &str| node.get(name).and_then(Node::text).map(str::to_owned);
    if let Some(urn) = text("urn") {
        return Urn::parse(&urn)
            .map(Alias::Urn)
            .map_err(|error| node.wrong(error));
    }
    let parent = match (
        text("parentUrn").or(text("parent")),
        boolean(node, "noParent")?,
    ) {
        (Some(urn), _) => AliasParent::Urn(Urn::parse(&urn).map_err(|error| node.wrong(error))?),
        (None, Some(true)) => AliasParent::None,
        (None, _) => AliasParent::Same,
    };
    Ok(Alias::Spec {
        name: text("name"),
        token: text("type"),
        stack: text("stack"),
        project: text("project"),
        parent,
    })
}
