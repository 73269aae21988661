use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use foretell_types::{Error, ErrorKind, Instant, Result};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, GeneralSubtree, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, NameConstraints, SanType,
};
use rustls::pki_types::PrivatePkcs8KeyDer;

use super::{Identity, files};

const AUTHORITY: &str = "ca.pem";
const AUTHORITY_KEY: &str = "ca.key";
const LOCALHOST: &str = "localhost";
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Clocks of clients that are behind.
const BEFORE: Duration = DAY;
const AUTHORITY_DAYS: u32 = 7_300;
/// The longest that Apple's systems accept.
const SERVER_DAYS: u32 = 825;

/// A certificate for this machine, made anew at each start, signed by an authority that lies in
/// the data directory and is made once; and where the authority's certificate lies.
pub fn certificate(folder: &Path, now: Instant) -> Result<(Identity, PathBuf)> {
    let path = folder.join(AUTHORITY);
    let key = match authority_key(folder)? {
        Some(key) => key,
        None => make_authority(folder, now)?,
    };
    // The name and the key are all that an issuer gives to what it signs.
    let params = authority_params(now)?;
    let issuer = Issuer::from_params(&params, key);
    let own = KeyPair::generate().map_err(failed)?;
    let mut params = CertificateParams::default();
    params.subject_alt_names = vec![
        SanType::DnsName(LOCALHOST.try_into().map_err(failed)?),
        SanType::IpAddress(Ipv4Addr::LOCALHOST.into()),
        SanType::IpAddress(Ipv6Addr::LOCALHOST.into()),
    ];
    params
        .distinguished_name
        .push(DnType::CommonName, "foretell serve");
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    valid(&mut params, now, SERVER_DAYS);
    let signed = params.signed_by(&own, &issuer).map_err(failed)?;
    let key = PrivatePkcs8KeyDer::from(own.serialize_der());
    Ok(((vec![signed.der().clone()], key.into()), path))
}

/// The key of an authority that is there whole.
fn authority_key(folder: &Path) -> Result<Option<KeyPair>> {
    if !folder.join(AUTHORITY).exists() {
        return Ok(None);
    }
    let path = folder.join(AUTHORITY_KEY);
    let again =
        "remove the folder, and another authority is made, which clients have to trust anew";
    let text = fs::read_to_string(&path).map_err(|error| {
        Error::io(
            format_args!("can't read {} ({again})", path.display()),
            error,
        )
    })?;
    KeyPair::from_pem(&text).map(Some).map_err(|error| {
        Error::new(
            ErrorKind::Damaged,
            format!("{} is not a key: {error}; {again}", path.display()),
        )
    })
}

/// The key is written first: a certificate is there only with its key.
fn make_authority(folder: &Path, now: Instant) -> Result<KeyPair> {
    fs::create_dir_all(folder)
        .map_err(|error| Error::io(format_args!("can't make {}", folder.display()), error))?;
    let key = KeyPair::generate().map_err(failed)?;
    let certificate = authority_params(now)?.self_signed(&key).map_err(failed)?;
    files::write(&folder.join(AUTHORITY_KEY), &key.serialize_pem(), 0o600)?;
    files::write(&folder.join(AUTHORITY), &certificate.pem(), 0o644)?;
    Ok(key)
}

/// An authority for the names of this machine alone: who steals its key can't be another site.
fn authority_params(now: Instant) -> Result<CertificateParams> {
    let mut params = CertificateParams::default();
    params
        .distinguished_name
        .push(DnType::CommonName, "Foretell development authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let only = |address: IpAddr| {
        let bits = if address.is_ipv4() { 32 } else { 128 };
        GeneralSubtree::IpAddress(rcgen::CidrSubnet::from_addr_prefix(address, bits))
    };
    params.name_constraints = Some(NameConstraints {
        permitted_subtrees: vec![
            GeneralSubtree::DnsName(LOCALHOST.to_owned()),
            only(Ipv4Addr::LOCALHOST.into()),
            only(Ipv6Addr::LOCALHOST.into()),
        ],
        excluded_subtrees: Vec::new(),
    });
    valid(&mut params, now, AUTHORITY_DAYS);
    Ok(params)
}

fn valid(params: &mut CertificateParams, now: Instant, days: u32) {
    let nanos = u64::try_from(now.as_nanos()).unwrap_or(0);
    let now = SystemTime::UNIX_EPOCH + Duration::from_nanos(nanos);
    params.not_before = (now - BEFORE).into();
    params.not_after = (now + DAY * days).into();
}

fn failed(error: rcgen::Error) -> Error {
    Error::unavailable(format!("a certificate can't be made: {error}"))
}
