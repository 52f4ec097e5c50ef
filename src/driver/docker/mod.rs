//! Containers, through the engine's API. Only the shape is here; the engine's room fills it.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::driver::{DriverError, Look, Start, Stop};
use crate::model::desired::{Desired, Service};
use crate::model::facts::{ContainerFact, EngineFact, EngineHealth, Reading};
use crate::model::names::ProjectName;
use crate::model::observed::Instance;

#[derive(Clone, Debug)]
pub struct Engine;

pub async fn connect(_host: Option<&str>, _environment: &BTreeMap<String, String>) -> Result<Engine, DriverError> {
    unimplemented!()
}

impl Engine {
    pub fn fact(&self) -> EngineFact {
        unimplemented!()
    }
    pub async fn containers(&self, _desired: &Desired) -> Reading<Vec<ContainerFact>> {
        unimplemented!()
    }
    pub async fn look(&self, _project: &ProjectName, _service: &Service) -> Result<Look, DriverError> {
        unimplemented!()
    }
    pub async fn prepare(&self, _service: &Service) -> Result<(), DriverError> {
        unimplemented!()
    }
    pub async fn start(&self, _start: &Start<'_>) -> Result<Instance, DriverError> {
        unimplemented!()
    }
    pub async fn settle(&self, _project: &ProjectName, _service: &Service) -> Result<(), DriverError> {
        unimplemented!()
    }
    pub async fn restore(&self, _project: &ProjectName, _service: &Service) -> Result<bool, DriverError> {
        unimplemented!()
    }
    pub async fn stop(&self, _stop: &Stop<'_>) -> Result<(), DriverError> {
        unimplemented!()
    }
    pub async fn remove(&self, _project: &ProjectName, _instance: &Instance) -> Result<(), DriverError> {
        unimplemented!()
    }
    pub async fn exec(&self, _id: &str, _command: &[String], _timeout: Duration) -> Result<i64, DriverError> {
        unimplemented!()
    }
    pub async fn health(&self, _id: &str) -> Result<Option<EngineHealth>, DriverError> {
        unimplemented!()
    }
    pub async fn log_since_start(&self, _id: &str, _bytes_max: usize) -> Result<String, DriverError> {
        unimplemented!()
    }
    pub async fn log_tail(&self, _id: &str, _lines: usize) -> Vec<String> {
        unimplemented!()
    }
    pub async fn published(&self) -> Result<BTreeMap<u16, String>, DriverError> {
        unimplemented!()
    }
}
