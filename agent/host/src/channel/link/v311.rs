//! MQTT 3.1.1 through `rumqttc-v4-next`.

use std::path::{Path, PathBuf};

use coracle_core::retry::Loss;
use rumqttc_v4::{
    AsyncClient, ConnectReturnCode, ConnectionError, Error as Malformed, Event, EventLoop, LastWill,
    MqttOptions, NetworkOptions, Packet, PublishOptions, QoS, StateError, SubscribeFilter,
    SubscribeReasonCode, TlsConfiguration, Transport,
};
use tokio::sync::mpsc;

use super::{CONNECT_TIMEOUT, INFLIGHT, Lost, REQUESTS, Said, Terms, chain, host, refused, way};
use crate::channel::dial::dial;
use crate::channel::inbox::{Inbox, Incoming};
use crate::channel::outbox::Qos;
use crate::channel::{ChannelConfig, PACKET_BYTES_MAX, Publish, tls};

pub(super) fn open(config: &ChannelConfig, terms: Terms) -> Result<(AsyncClient, EventLoop), Lost> {
    let mut options = MqttOptions::new(config.client_id.clone(), (host(config), config.port));
    let way = way(config);
    options.set_socket_connector(move |_, _| dial(way.clone()));
    if config.presence.is_said() {
        let will = LastWill::new(config.presence.topic.clone(), terms.will, QoS::AtLeastOnce, true);
        options.set_last_will(will);
    }
    options
        .set_keep_alive(terms.keepalive_s)
        .set_max_packet_size(PACKET_BYTES_MAX, PACKET_BYTES_MAX)
        .set_inflight(INFLIGHT);
    match (&config.username, terms.password) {
        (Some(username), Some(password)) => {
            options.set_credentials(username.clone(), password);
        }
        (Some(username), None) => {
            options.set_username(username.clone());
        }
        // MQTT 3.1.1 has no password without a user name.
        (None, Some(_) | None) => {}
    }
    if let Some(tls) = terms.tls {
        options.set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(tls)));
    }
    let (client, mut events) =
        AsyncClient::builder(options).capacity(REQUESTS).try_build().map_err(|error| {
            Lost::new(Loss::Protocol, format!("broker settings do not fit together: {error}"))
        })?;
    let mut network = NetworkOptions::new();
    network.set_connection_timeout(CONNECT_TIMEOUT.as_secs());
    events.set_network_options(network);
    Ok((client, events))
}

pub(super) async fn drive(
    mut events: EventLoop,
    inbox: Inbox,
    said: mpsc::UnboundedSender<Said>,
    own: Option<PathBuf>,
) {
    loop {
        let next = match events.poll().await {
            Ok(Event::Incoming(packet)) => incoming(packet, &inbox),
            Ok(Event::Outgoing(_)) => None,
            Err(error) => Some(Said::Lost(lost(&error, own.as_deref()))),
        };
        let Some(next) = next else { continue };
        let last = matches!(next, Said::Lost(_));
        if said.send(next).is_err() || last {
            return;
        }
    }
}

#[allow(clippy::wildcard_enum_match_arm)] // The library's enum; what is not listed is not for a client, or not used.
fn incoming(packet: Packet, inbox: &Inbox) -> Option<Said> {
    match packet {
        Packet::ConnAck(_) => Some(Said::Connected),
        Packet::SubAck(ack) => {
            let taken = |code: &&SubscribeReasonCode| !matches!(code, SubscribeReasonCode::Success(_));
            Some(Said::Subscribed { refused: ack.return_codes.iter().filter(taken).count() })
        }
        Packet::PubAck(_) => Some(Said::Acknowledged),
        Packet::Publish(publish) => {
            inbox.put(Incoming::copied(&publish.topic, &publish.payload, publish.retain));
            Some(Said::Alive)
        }
        Packet::PingResp => Some(Said::Alive),
        _ => None,
    }
}

pub(super) fn subscribe(client: &AsyncClient, filters: &[String]) -> Result<(), Lost> {
    let filters = filters.iter().map(|filter| SubscribeFilter::new(filter.clone(), QoS::AtLeastOnce));
    client.try_subscribe_many(filters).map_err(refused)
}

pub(super) fn publish(client: &AsyncClient, publish: &Publish) -> Result<(), Lost> {
    let qos = match publish.qos {
        Qos::AtMostOnce => QoS::AtMostOnce,
        Qos::AtLeastOnce => QoS::AtLeastOnce,
    };
    let options = PublishOptions::new(qos).retain(publish.retain);
    client.try_publish(publish.topic.clone(), publish.payload.clone(), options).map_err(refused)
}

#[allow(clippy::wildcard_enum_match_arm)] // The library's enums may grow; the rest is the network's.
fn lost(error: &ConnectionError, own: Option<&Path>) -> Lost {
    let known = match error {
        // The library does not name this one as its error's source.
        ConnectionError::MqttState(StateError::Deserialization(source)) => tls::lost(source, own),
        _ => tls::lost(error, own),
    };
    if let Some(lost) = known {
        return lost;
    }
    match error {
        ConnectionError::ConnectionRefused(code) => refused_connection(*code),
        // The library reads and decodes in one step, so a broken connection can look like a broken packet.
        ConnectionError::MqttState(StateError::Deserialization(Malformed::Io(_))) => {
            Lost::new(Loss::Network, chain(error))
        }
        ConnectionError::NotConnAck(_)
        | ConnectionError::SessionStateMismatch { .. }
        | ConnectionError::MqttState(
            StateError::Deserialization(_) | StateError::Unsolicited(_) | StateError::ProtocolViolation(_),
        ) => Lost::new(Loss::Protocol, chain(error)),
        _ => Lost::new(Loss::Network, chain(error)),
    }
}

fn refused_connection(code: ConnectReturnCode) -> Lost {
    use ConnectReturnCode as Code;
    let loss = match code {
        Code::BadUserNamePassword | Code::NotAuthorized | Code::BadClientId => Loss::Credentials,
        Code::ServiceUnavailable => Loss::Busy,
        Code::Success | Code::RefusedProtocolVersion => Loss::Protocol,
    };
    Lost::new(loss, format!("the broker refused the connection: {code:?}"))
}
