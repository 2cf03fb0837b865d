//! MQTT 5 through `rumqttc-v5-next`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use coracle_core::retry::Loss;
use rumqttc_v5::{
    AsyncClient, ConnectReturnCode, ConnectionError, DisconnectReasonCode, Error as Malformed, Event,
    EventLoop, LastWill, LastWillProperties, MqttOptions, Packet, PubAckReason, PublishOptions,
    PublishProperties, QoS, StateError, SubscribeFilter, SubscribeReasonCode, TlsConfiguration, Transport,
};
use tokio::sync::mpsc;

use super::{CONNECT_TIMEOUT, INFLIGHT, Lost, REQUESTS, Said, Terms, chain, host, refused, way};
use crate::channel::dial::dial;
use crate::channel::inbox::{Inbox, Incoming};
use crate::channel::outbox::Qos;
use crate::channel::{ChannelConfig, PACKET_BYTES_MAX, Publish, tls};

pub(super) fn open(config: &ChannelConfig, terms: Terms) -> Result<(AsyncClient, EventLoop), Lost> {
    let seconds = |duration: Duration| u32::try_from(duration.as_secs()).unwrap_or(u32::MAX);
    let will_delay = seconds(config.presence.will_delay);
    let mut options = MqttOptions::new(config.client_id.clone(), (host(config), config.port));
    let way = way(config);
    options.set_socket_connector(move |_, _| dial(way.clone()));
    let properties = LastWillProperties {
        delay_interval: Some(will_delay),
        payload_format_indicator: None,
        message_expiry_interval: None,
        content_type: None,
        response_topic: None,
        correlation_data: None,
        user_properties: Vec::new(),
    };
    if config.presence.is_said() {
        options.set_last_will(LastWill::new(
            config.presence.topic.clone(),
            terms.will,
            QoS::AtLeastOnce,
            true,
            Some(properties),
        ));
    }
    options
        .set_keep_alive(terms.keepalive_s)
        .set_clean_start(true)
        .set_session_expiry_interval(Some(will_delay))
        .set_max_packet_size(u32::try_from(PACKET_BYTES_MAX).ok())
        .set_receive_maximum(Some(INFLIGHT))
        .set_outgoing_inflight_upper_limit(INFLIGHT)
        .set_connect_timeout(CONNECT_TIMEOUT);
    match (&config.username, terms.password) {
        (Some(username), Some(password)) => {
            options.set_credentials(username.clone(), password);
        }
        (Some(username), None) => {
            options.set_username(username.clone());
        }
        (None, Some(password)) => {
            options.set_password(password);
        }
        (None, None) => {}
    }
    if let Some(tls) = terms.tls {
        options.set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(tls)));
    }
    AsyncClient::builder(options)
        .capacity(REQUESTS)
        .try_build()
        .map_err(|error| Lost::new(Loss::Protocol, format!("broker settings do not fit together: {error}")))
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
            Ok(Event::Outgoing(_) | Event::Auth(_)) => None,
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
        Packet::PubAck(ack) => Some(match ack.reason {
            PubAckReason::Success | PubAckReason::NoMatchingSubscribers => Said::Acknowledged,
            refused => Said::NotTaken(format!("{refused:?}")),
        }),
        Packet::Publish(publish) => {
            inbox.put(Incoming::copied(&publish.topic, &publish.payload, publish.retain));
            Some(Said::Alive)
        }
        Packet::PingResp => Some(Said::Alive),
        Packet::Disconnect(disconnect) => Some(Said::Lost(disconnected(disconnect.reason_code))),
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
    let mut options = PublishOptions::new(qos).retain(publish.retain);
    if let Some(expiry) = publish.expiry {
        let message_expiry_interval = u32::try_from(expiry.as_secs()).ok();
        options = options.properties(PublishProperties { message_expiry_interval, ..Default::default() });
    }
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
        ConnectionError::MqttState(StateError::ConnFail { reason }) => refused_connection(*reason),
        ConnectionError::MqttState(StateError::ServerDisconnect { reason_code, .. }) => {
            disconnected(*reason_code)
        }
        // The library reads and decodes in one step, so a broken connection can look like a broken packet.
        ConnectionError::MqttState(StateError::Deserialization(Malformed::Io(_))) => {
            Lost::new(Loss::Network, chain(error))
        }
        ConnectionError::NotConnAck(_) | ConnectionError::SessionStateMismatch { .. } => {
            Lost::new(Loss::Protocol, chain(error))
        }
        ConnectionError::MqttState(
            StateError::Deserialization(_)
            | StateError::Unsolicited(_)
            | StateError::ProtocolViolation(_)
            | StateError::IncomingPacketTooLarge { .. },
        ) => Lost::new(Loss::Protocol, chain(error)),
        _ => Lost::new(Loss::Network, chain(error)),
    }
}

fn refused_connection(code: ConnectReturnCode) -> Lost {
    use ConnectReturnCode as Code;
    let loss = match code {
        Code::BadUserNamePassword
        | Code::NotAuthorized
        | Code::Banned
        | Code::BadAuthenticationMethod
        | Code::BadClientId
        | Code::ClientIdentifierNotValid => Loss::Credentials,
        Code::ServiceUnavailable
        | Code::ServerUnavailable
        | Code::ServerBusy
        | Code::QuotaExceeded
        | Code::ConnectionRateExceeded
        | Code::UseAnotherServer
        | Code::ServerMoved => Loss::Busy,
        Code::Success
        | Code::RefusedProtocolVersion
        | Code::UnspecifiedError
        | Code::MalformedPacket
        | Code::ProtocolError
        | Code::ImplementationSpecificError
        | Code::UnsupportedProtocolVersion
        | Code::TopicNameInvalid
        | Code::PacketTooLarge
        | Code::PayloadFormatInvalid
        | Code::RetainNotSupported
        | Code::QoSNotSupported => Loss::Protocol,
    };
    Lost::new(loss, format!("the broker refused the connection: {code:?}"))
}

#[allow(clippy::wildcard_enum_match_arm)] // The library's enum; the rest means the same to us.
fn disconnected(code: DisconnectReasonCode) -> Lost {
    use DisconnectReasonCode as Code;
    let loss = match code {
        Code::SessionTakenOver => Loss::TakenOver,
        Code::NotAuthorized => Loss::Credentials,
        Code::ServerBusy | Code::QuotaExceeded | Code::ConnectionRateExceeded | Code::MessageRateTooHigh => {
            Loss::Busy
        }
        Code::MalformedPacket | Code::ProtocolError | Code::PacketTooLarge => Loss::Protocol,
        _ => Loss::Network,
    };
    Lost::new(loss, format!("the broker ended the connection: {code:?}"))
}
