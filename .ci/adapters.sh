# For the steps that test adapters and the processing of microphones, with `source`: one set of
# features for all of them, so that the library and its tests are compiled once. That each feature
# builds alone, `features` of .ci/run checks.
adapters=conformance,janus,moq,processing,quic,rtpengine,stage,tracing

# A relay of others is not ours, and its tests wait for it by the clock: on a busy machine they have
# a second try.
twice() { "$@" || { echo '*** once more'; "$@"; }; }
