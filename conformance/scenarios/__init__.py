"""All scenarios, in the order in which they run."""

from scenarios import (
    cloudevents_azure,
    cloudevents_cncf,
    cloudevents_cncf_1,
    eventgrid,
    http_binding,
    identity,
    javascript,
    namespaces,
    projections,
    proofs,
    pulumi,
    refusals,
    tokens,
)

ALL = [
    *eventgrid.SCENARIOS,
    *cloudevents_azure.SCENARIOS,
    *cloudevents_cncf.SCENARIOS,
    *cloudevents_cncf_1.SCENARIOS,
    *http_binding.SCENARIOS,
    *identity.SCENARIOS,
    *namespaces.SCENARIOS,
    *projections.SCENARIOS,
    *proofs.SCENARIOS,
    *refusals.SCENARIOS,
    *tokens.SCENARIOS,
    *javascript.SCENARIOS,
    *pulumi.SCENARIOS,
]

assert len({scenario.name for scenario in ALL}) == len(ALL), "two scenarios have one name"
