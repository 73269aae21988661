use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;

use foretell_types::{Error, ErrorKind};
use tokio_stream::Stream;
use tonic::{Request, Response, Status};

use super::goal;
use crate::engine::{Deployment, Registered};
use crate::limits::PARALLEL_STEPS;
use crate::proto::resource_monitor_server::ResourceMonitor;
use crate::proto::{
    CallResponse, Callback, DeploymentInfo, ExistsResourceRequest, ExistsResourceResponse,
    ReadResourceRequest, ReadResourceResponse, RegisterErrorHookRequest, RegisterPackageRequest,
    RegisterPackageResponse, RegisterResourceHookRequest, RegisterResourceOutputsRequest,
    RegisterResourceRequest, RegisterResourceResponse, ResourceCallRequest, ResourceInvokeRequest,
    ResourceInvokeResponse, ResourceMonitorFeature as Feature, Result as Outcome,
    SupportsFeatureRequest, SupportsFeatureResponse,
};
use crate::wire::{self, Accepts};
use crate::{Urn, Value};

/// What programs may use, and the name by which older SDKs ask for it.
const FEATURES: [(Feature, &str); 7] = [
    (Feature::Secrets, "secrets"),
    (Feature::ResourceReferences, "resourceReferences"),
    (Feature::OutputValues, "outputValues"),
    (Feature::AliasSpecs, "aliasSpecs"),
    (Feature::ReplacementTrigger, "replacementTrigger"),
    (Feature::DeletedWith, "deletedWith"),
    (Feature::ReplaceWith, "replaceWith"),
];

pub struct Monitor {
    deployment: Arc<Deployment>,
}

impl Monitor {
    pub fn new(deployment: Arc<Deployment>) -> Monitor {
        Monitor { deployment }
    }
}

fn status(error: Error) -> Status {
    let message = error.to_string();
    match error.kind() {
        ErrorKind::Invalid => Status::invalid_argument(message),
        ErrorKind::NotFound => Status::not_found(message),
        // Not `unavailable`, by which SDKs understand that the engine is gone.
        _ => Status::unknown(message),
    }
}

fn unsupported(what: &str) -> Status {
    Status::unimplemented(format!("{what} by `foretell up`"))
}

#[tonic::async_trait]
impl ResourceMonitor for Monitor {
    async fn get_deployment_info(
        &self,
        _: Request<()>,
    ) -> Result<Response<DeploymentInfo>, Status> {
        let settings = self.deployment.settings();
        let text = |value: &Value| value.as_str().unwrap_or("").to_owned();
        let config: HashMap<_, _> = settings
            .config
            .iter()
            .map(|(key, value)| (key.clone(), text(value)))
            .collect();
        let secret = settings
            .config
            .iter()
            .filter(|(_, value)| value.has_secret());
        Ok(Response::new(DeploymentInfo {
            project: settings.name.project.clone(),
            stack: settings.name.stack.clone(),
            organization: settings.organization.clone(),
            config_secret_keys: secret.map(|(key, _)| key.clone()).collect(),
            config,
            dry_run: settings.preview,
            parallel: PARALLEL_STEPS as i32,
            supported_features: FEATURES
                .iter()
                .map(|(feature, _)| *feature as i32)
                .collect(),
        }))
    }

    async fn supports_feature(
        &self,
        request: Request<SupportsFeatureRequest>,
    ) -> Result<Response<SupportsFeatureResponse>, Status> {
        let id = request.into_inner().id;
        Ok(Response::new(SupportsFeatureResponse {
            has_support: FEATURES.iter().any(|(_, name)| *name == id),
        }))
    }

    async fn register_resource(
        &self,
        request: Request<RegisterResourceRequest>,
    ) -> Result<Response<RegisterResourceResponse>, Status> {
        let request = request.into_inner();
        let accepts = Accepts {
            secrets: request.accept_secrets,
            resources: request.accept_resources,
        };
        let reports = request.supports_result_reporting;
        let goal = goal::goal(request).map_err(status)?;
        let name = goal.name.clone();
        let done = self.deployment.register(goal).await.map_err(status)?;
        if done.failed && !reports {
            return Err(Status::unknown(format!("resource {name:?} failed")));
        }
        let Registered {
            urn,
            id,
            outputs,
            failed,
        } = done;
        Ok(Response::new(RegisterResourceResponse {
            urn: urn.into(),
            id: id.filter(|_| !failed).unwrap_or_default(),
            object: (!failed).then(|| wire::to_struct(&outputs, accepts)),
            stable: false,
            stables: Vec::new(),
            result: outcome(failed).into(),
            unknown: failed,
        }))
    }

    async fn register_resource_outputs(
        &self,
        request: Request<RegisterResourceOutputsRequest>,
    ) -> Result<Response<()>, Status> {
        let request = request.into_inner();
        let urn = Urn::parse(&request.urn).map_err(status)?;
        let outputs = wire::from_struct(request.outputs).map_err(status)?;
        let done = self.deployment.register_outputs(&urn, outputs).await;
        done.map_err(status)?;
        Ok(Response::new(()))
    }

    async fn read_resource(
        &self,
        request: Request<ReadResourceRequest>,
    ) -> Result<Response<ReadResourceResponse>, Status> {
        let request = request.into_inner();
        let accepts = Accepts {
            secrets: request.accept_secrets,
            resources: request.accept_resources,
        };
        let goal = goal::read_goal(request).map_err(status)?;
        let read = self.deployment.read(goal).await.map_err(status)?;
        Ok(Response::new(ReadResourceResponse {
            urn: read.urn.into(),
            properties: Some(wire::to_struct(&read.outputs, accepts)),
            result: Outcome::Success.into(),
            unknown: false,
            id: read.id.unwrap_or_default(),
        }))
    }

    async fn exists_resource(
        &self,
        request: Request<ExistsResourceRequest>,
    ) -> Result<Response<ExistsResourceResponse>, Status> {
        let request = request.into_inner();
        let provider = Some(request.provider).filter(|provider| !provider.is_empty());
        let exists = self
            .deployment
            .exists(&request.r#type, &request.id, provider);
        Ok(Response::new(ExistsResourceResponse {
            exists: exists.await.map_err(status)?,
            unknown: false,
        }))
    }

    async fn invoke(
        &self,
        request: Request<ResourceInvokeRequest>,
    ) -> Result<Response<ResourceInvokeResponse>, Status> {
        let request = request.into_inner();
        let accepts = Accepts {
            secrets: true,
            resources: request.accept_resources,
        };
        let call = goal::call(request).map_err(status)?;
        let result = self.deployment.invoke(call).await.map_err(status)?;
        Ok(Response::new(ResourceInvokeResponse {
            unknown: result.is_none(),
            r#return: Some(wire::to_struct(&result.unwrap_or_default(), accepts)),
            failures: Vec::new(),
        }))
    }

    type StreamInvokeStream =
        Pin<Box<dyn Stream<Item = Result<ResourceInvokeResponse, Status>> + Send>>;

    async fn stream_invoke(
        &self,
        request: Request<ResourceInvokeRequest>,
    ) -> Result<Response<Self::StreamInvokeStream>, Status> {
        let token = request.into_inner().tok;
        Err(unsupported(&format!(
            "the streaming function {token} isn't supported"
        )))
    }

    async fn call(
        &self,
        request: Request<ResourceCallRequest>,
    ) -> Result<Response<CallResponse>, Status> {
        let token = request.into_inner().tok;
        Err(unsupported(&format!(
            "the method {token} of a resource isn't supported"
        )))
    }

    async fn register_stack_transform(&self, _: Request<Callback>) -> Result<Response<()>, Status> {
        Err(unsupported("transforms of resources aren't supported"))
    }

    async fn register_stack_invoke_transform(
        &self,
        _: Request<Callback>,
    ) -> Result<Response<()>, Status> {
        Err(unsupported("transforms of function calls aren't supported"))
    }

    async fn register_resource_hook(
        &self,
        request: Request<RegisterResourceHookRequest>,
    ) -> Result<Response<()>, Status> {
        let name = request.into_inner().name;
        Err(unsupported(&format!(
            "the hook {name:?} isn't supported: hooks aren't"
        )))
    }

    async fn register_error_hook(
        &self,
        request: Request<RegisterErrorHookRequest>,
    ) -> Result<Response<()>, Status> {
        let name = request.into_inner().name;
        Err(unsupported(&format!(
            "the hook {name:?} isn't supported: hooks aren't"
        )))
    }

    async fn register_package(
        &self,
        request: Request<RegisterPackageRequest>,
    ) -> Result<Response<RegisterPackageResponse>, Status> {
        let name = request.into_inner().name;
        Err(unsupported(&format!(
            "the parameterized package {name:?} isn't supported"
        )))
    }

    async fn signal_and_wait_for_shutdown(&self, _: Request<()>) -> Result<Response<()>, Status> {
        Ok(Response::new(()))
    }
}

fn outcome(failed: bool) -> Outcome {
    match failed {
        true => Outcome::Fail,
        false => Outcome::Success,
    }
}
