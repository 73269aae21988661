use std::sync::Arc;

use tonic::{Request, Response, Status};

use crate::Urn;
use crate::engine::{Deployment, Severity};
use crate::proto::engine_server::Engine;
use crate::proto::{
    GetRootResourceRequest, GetRootResourceResponse, LogRequest, LogSeverity,
    RequirePulumiVersionRequest, RequirePulumiVersionResponse, SetRootResourceRequest,
    SetRootResourceResponse, StartDebuggingRequest,
};

pub struct EngineService {
    deployment: Arc<Deployment>,
}

impl EngineService {
    pub fn new(deployment: Arc<Deployment>) -> EngineService {
        EngineService { deployment }
    }
}

#[tonic::async_trait]
impl Engine for EngineService {
    async fn log(&self, request: Request<LogRequest>) -> Result<Response<()>, Status> {
        let log = request.into_inner();
        let severity = match log.severity() {
            LogSeverity::Debug => Severity::Debug,
            LogSeverity::Info => Severity::Info,
            LogSeverity::Warning => Severity::Warning,
            LogSeverity::Error => Severity::Error,
        };
        self.deployment
            .log(severity, Urn::parse(&log.urn).ok(), log.message);
        Ok(Response::new(()))
    }

    async fn get_root_resource(
        &self,
        _: Request<GetRootResourceRequest>,
    ) -> Result<Response<GetRootResourceResponse>, Status> {
        let urn = self
            .deployment
            .root()
            .map_or_else(String::new, String::from);
        Ok(Response::new(GetRootResourceResponse { urn }))
    }

    async fn set_root_resource(
        &self,
        request: Request<SetRootResourceRequest>,
    ) -> Result<Response<SetRootResourceResponse>, Status> {
        let urn = Urn::parse(&request.into_inner().urn);
        let urn = urn.map_err(|error| Status::invalid_argument(error.to_string()))?;
        self.deployment.set_root(urn);
        Ok(Response::new(SetRootResourceResponse {}))
    }

    async fn start_debugging(
        &self,
        request: Request<StartDebuggingRequest>,
    ) -> Result<Response<()>, Status> {
        let message = request.into_inner().message;
        self.deployment.log(Severity::Info, None, message);
        Ok(Response::new(()))
    }

    /// What is spoken here is what the SDKs of version 3 speak, whatever they ask for.
    async fn require_pulumi_version(
        &self,
        _: Request<RequirePulumiVersionRequest>,
    ) -> Result<Response<RequirePulumiVersionResponse>, Status> {
        Ok(Response::new(RequirePulumiVersionResponse {}))
    }
}
