defmodule Exosuit.Native do
  @moduledoc """
  The stubs of `native/exosuit_nif`, in the order of its files.

  Only the rooms right above call it (`Exosuit.Wasm`, `Exosuit.Router`, `Exosuit.Lattice`, `Exosuit.Secret`, …); docs
  for their users are there, and docs for the Rust side in the files of `native/exosuit_nif/src`. A function has the
  name of its NIF, and the NIF the name of its file: `actor_publish` is in `actor.rs`.

  ## The border

  - A NIF decodes its arguments, hands over, and returns. It takes well under a millisecond, and never waits.
  - Longer work runs on threads of Rust, and answers by a message. `reply` is `{pid, reference}`: `:ok` promises
    exactly one message `{reference, result}`, an `{:error, _}` promises none. `Exosuit.Native.Answer` waits for it.
  - Handles are references: resources of the VM, which are freed when no term refers to them any more. Handles of
    actors, providers and calls also end with the process that made them.
  - Errors are `{code, detail}`, the code an atom from a fixed set (`t:Exosuit.Error.reason/0`).
  - A wrong argument raises `ArgumentError`. Input from outside is checked before it gets here (`Exosuit.Input`).

  If the library cannot be loaded, for example because it was built for another system, this module is not loaded
  either, and Exosuit does not start.
  """

  @on_load :load

  @typedoc "An error, as it crosses the border."
  @type failure :: {:error, {atom(), String.t()}}
  @typedoc "The address of an answer. The reference must be new for each request."
  @type reply :: {pid(), reference()}
  @typedoc "See `t:Exosuit.Lattice.Backend.connection/0`."
  @type connection_state :: :connected | :closed | {:connecting, failure() | nil}
  @type bucket :: :data | :configurations | :applications

  @typedoc """
  A link as the router takes it: its ends, name and contract, the interfaces, and the configuration of source and
  target.
  """
  @type link ::
          {source :: String.t(), target :: String.t(), name :: String.t(), contract :: String.t(),
           [String.t()], map(), map()}

  @spec engine_start(Path.t() | nil, Path.t(), map()) :: {:ok, String.t()} | failure()
  def engine_start(_cache_dir, _compiler, _limits), do: not_loaded()

  @spec inspect_wasm(binary()) :: {:ok, map()} | failure()
  def inspect_wasm(_bytes), do: not_loaded()

  @spec inspect_answers(binary(), map(), map() | nil) :: {:ok, [map()]} | failure()
  def inspect_answers(_bytes, _asker, _inventory), do: not_loaded()

  @spec inspect_world(Path.t(), String.t() | nil) :: {:ok, map()} | failure()
  def inspect_world(_path, _world), do: not_loaded()

  @spec inspect_interface(Path.t(), String.t()) :: {:ok, map()} | failure()
  def inspect_interface(_path, _name), do: not_loaded()

  @spec engine_unanswered(binary()) :: {:ok, [String.t()]} | failure()
  def engine_unanswered(_bytes), do: not_loaded()

  @spec host_new(pos_integer(), non_neg_integer(), boolean(), %{
          optional(:inet.port_number()) => :inet.port_number()
        }) ::
          reference()
  def host_new(_max_depth, _restart_wait_ms, _local_first?, _http_ports), do: not_loaded()

  @spec host_simulate(reference(), reference() | nil, non_neg_integer() | nil) :: :ok
  def host_simulate(_host, _clock, _seed), do: not_loaded()

  @spec clock_new(non_neg_integer()) :: reference()
  def clock_new(_wall), do: not_loaded()

  @spec clock_read(reference()) :: non_neg_integer()
  def clock_read(_clock), do: not_loaded()

  @spec clock_set(reference(), non_neg_integer()) :: :ok
  def clock_set(_clock, _wall), do: not_loaded()

  @spec clock_advance(reference(), non_neg_integer()) :: :ok
  def clock_advance(_clock, _by), do: not_loaded()

  @spec host_observe(reference(), pid()) :: :ok
  def host_observe(_host, _pid), do: not_loaded()

  @spec host_drain(reference(), non_neg_integer(), reply()) :: :ok
  def host_drain(_host, _timeout_ms, _reply), do: not_loaded()

  @spec actor_specify(
          reference(),
          String.t(),
          pos_integer(),
          non_neg_integer(),
          pos_integer() | nil
        ) :: :ok | failure()
  def actor_specify(_host, _id, _instances, _queue, _deadline_ms), do: not_loaded()

  @spec actor_forget(reference(), String.t()) :: :ok | failure()
  def actor_forget(_host, _id), do: not_loaded()

  @spec actor_retire(reference(), String.t(), non_neg_integer(), reply()) :: :ok | failure()
  def actor_retire(_host, _id, _drain_ms, _reply), do: not_loaded()

  @spec actor_fail(reference(), String.t(), String.t()) :: :ok | failure()
  def actor_fail(_host, _id, _detail), do: not_loaded()

  @spec actor_publish(reference(), {String.t(), String.t()}, reference(), map(), map()) ::
          {:ok, reference()} | failure()
  def actor_publish(_host, _id, _module, _identity, _settings), do: not_loaded()

  @spec actor_rehearse(reference(), String.t(), reference(), map(), pos_integer(), reply()) ::
          :ok | failure()
  def actor_rehearse(_host, _id, _module, _settings, _timeout_ms, _reply), do: not_loaded()

  @spec actor_supersede(reference(), non_neg_integer()) :: :ok
  def actor_supersede(_publication, _grace_ms), do: not_loaded()

  @spec provider_builtin(String.t()) ::
          {:ok, %{name: String.t(), contracts: [String.t()], listens: boolean()}} | failure()
  def provider_builtin(_reference), do: not_loaded()

  @spec provider_key(String.t(), String.t()) :: String.t()
  def provider_key(_reference, _id), do: not_loaded()

  @spec provider_start(
          reference(),
          {String.t(), String.t()},
          String.t(),
          map(),
          Path.t() | nil,
          reply()
        ) ::
          :ok | failure()
  def provider_start(_host, _names, _builtin, _config, _data_dir, _reply), do: not_loaded()

  @spec provider_rehearse(
          reference(),
          {String.t(), String.t()},
          String.t(),
          map(),
          Path.t() | nil,
          reply()
        ) ::
          :ok | failure()
  def provider_rehearse(_host, _names, _builtin, _config, _data_dir, _reply), do: not_loaded()

  @spec provider_serve(
          reference(),
          {String.t(), String.t()},
          [String.t()],
          pos_integer(),
          pid(),
          reply()
        ) ::
          :ok | failure()
  def provider_serve(_host, _names, _contracts, _max_calls, _dispatcher, _reply), do: not_loaded()

  @spec provider_health(reference(), pos_integer(), reply()) :: :ok
  def provider_health(_provider, _timeout_ms, _reply), do: not_loaded()

  @spec provider_endpoints(reference()) :: [String.t()]
  def provider_endpoints(_provider), do: not_loaded()

  @spec provider_reply(reference(), :ok | atom(), binary()) :: boolean()
  def provider_reply(_question, _code, _bytes), do: not_loaded()

  @spec provider_return(reference(), term()) :: boolean() | :large | failure()
  def provider_return(_question, _value), do: not_loaded()

  @spec provider_return_large(reference(), term()) :: boolean() | failure()
  def provider_return_large(_question, _value), do: not_loaded()

  @spec link_put(reference(), link(), reply()) :: :ok | failure()
  def link_put(_host, _link, _reply), do: not_loaded()

  @spec link_check(reference(), link(), reply()) :: :ok | failure()
  def link_check(_host, _link, _reply), do: not_loaded()

  @spec link_warnings(reference(), {String.t(), String.t(), String.t()}) ::
          {:ok, [String.t()]} | failure()
  def link_warnings(_host, _key), do: not_loaded()

  @spec link_delete(
          reference(),
          {String.t(), String.t(), String.t()},
          [{String.t(), [String.t()]}],
          reply()
        ) :: :ok | failure()
  def link_delete(_host, _key, _stay, _reply), do: not_loaded()

  @spec link_bind(reference(), String.t(), [{String.t(), String.t(), String.t()}]) ::
          :ok | failure()
  def link_bind(_host, _actor, _keys), do: not_loaded()

  @spec link_free(reference(), {String.t(), String.t(), String.t()}) :: :ok | failure()
  def link_free(_host, _key), do: not_loaded()

  @spec link_withhold(
          reference(),
          {String.t(), String.t(), String.t()},
          [{String.t(), [String.t()]}]
        ) :: :ok | failure()
  def link_withhold(_host, _key, _links), do: not_loaded()

  @spec link_states(reference()) :: [
          {key :: {String.t(), String.t(), String.t()}, target :: String.t(),
           interfaces :: [String.t()],
           :in_force | :waiting | {:refused, {code :: atom(), detail :: String.t()}}}
        ]
  def link_states(_host), do: not_loaded()

  @spec file_lock(Path.t()) :: {:ok, reference()} | failure()
  def file_lock(_path), do: not_loaded()

  @spec lattice_open(reference(), map(), reply()) :: :ok
  def lattice_open(_host, _settings, _reply), do: not_loaded()

  @spec lattice_state(reference()) :: {connection_state(), connection_state()}
  def lattice_state(_lattice), do: not_loaded()

  @spec lattice_refused(reference()) :: [{String.t(), non_neg_integer()}]
  def lattice_refused(_lattice), do: not_loaded()

  @spec lattice_take_macs(reference(), boolean()) :: :ok
  def lattice_take_macs(_lattice, _others_do), do: not_loaded()

  @spec lattice_max_payload(reference()) :: non_neg_integer()
  def lattice_max_payload(_lattice), do: not_loaded()

  @spec lattice_close(reference(), reply()) :: :ok
  def lattice_close(_lattice, _reply), do: not_loaded()

  @spec lattice_publish(reference(), String.t(), binary()) :: :ok | failure()
  def lattice_publish(_lattice, _subject, _payload), do: not_loaded()

  @spec lattice_request(reference(), String.t(), binary(), non_neg_integer(), reply()) :: :ok
  def lattice_request(_lattice, _subject, _payload, _timeout_ms, _reply), do: not_loaded()

  @spec lattice_gather(
          reference(),
          String.t(),
          binary(),
          non_neg_integer(),
          non_neg_integer(),
          reply()
        ) :: :ok
  def lattice_gather(_lattice, _subject, _payload, _within_ms, _most, _reply), do: not_loaded()

  @spec lattice_subscribe(reference(), String.t(), String.t() | nil, reference(), reply()) :: :ok
  def lattice_subscribe(_lattice, _subject, _group, _reference, _reply), do: not_loaded()

  @spec lattice_next(reference()) :: :ok
  def lattice_next(_inlet), do: not_loaded()

  @spec lattice_unsubscribe(reference()) :: :ok
  def lattice_unsubscribe(_inlet), do: not_loaded()

  @spec lattice_prepare(reference(), reply()) :: :ok
  def lattice_prepare(_lattice, _reply), do: not_loaded()

  @spec lattice_get(reference(), bucket(), String.t(), reply()) :: :ok
  def lattice_get(_lattice, _bucket, _key, _reply), do: not_loaded()

  @spec lattice_update(
          reference(),
          bucket(),
          String.t(),
          binary(),
          non_neg_integer(),
          reply()
        ) :: :ok
  def lattice_update(_lattice, _bucket, _key, _value, _revision, _reply), do: not_loaded()

  @spec lattice_delete(reference(), bucket(), String.t(), reply()) :: :ok
  def lattice_delete(_lattice, _bucket, _key, _reply), do: not_loaded()

  @spec lattice_remove(
          reference(),
          bucket(),
          String.t(),
          non_neg_integer(),
          reply()
        ) :: :ok
  def lattice_remove(_lattice, _bucket, _key, _revision, _reply), do: not_loaded()

  @spec lattice_watch(reference(), bucket(), reference(), reply()) :: :ok
  def lattice_watch(_lattice, _bucket, _reference, _reply), do: not_loaded()

  @spec lattice_position(reference(), bucket(), reply()) :: :ok
  def lattice_position(_lattice, _bucket, _reply), do: not_loaded()

  @spec lattice_put_object(reference(), binary(), reply()) :: :ok
  def lattice_put_object(_lattice, _bytes, _reply), do: not_loaded()

  @spec lattice_get_object(reference(), String.t(), reply()) :: :ok
  def lattice_get_object(_lattice, _digest, _reply), do: not_loaded()

  @spec lattice_delete_object(reference(), String.t(), reply()) :: :ok
  def lattice_delete_object(_lattice, _digest, _reply), do: not_loaded()

  @spec lattice_list_objects(reference(), reply()) :: :ok
  def lattice_list_objects(_lattice, _reply), do: not_loaded()

  @spec module_compile(binary(), String.t(), {pos_integer(), pos_integer()}, reply()) ::
          {:ok, compiling :: reference()} | failure()
  def module_compile(_bytes, _tenant, _limits, _reply), do: not_loaded()

  @spec module_names(reference()) :: :ok | failure()
  def module_names(_module), do: not_loaded()

  @spec module_cancel(reference()) :: :ok
  def module_cancel(_compiling), do: not_loaded()

  @spec module_unanswered(reference()) :: [String.t()]
  def module_unanswered(_module), do: not_loaded()

  @spec resource_drop(reference()) :: :ok
  def resource_drop(_resource), do: not_loaded()

  @spec call(
          reference(),
          String.t(),
          String.t(),
          term(),
          Exosuit.Origin.from(),
          pos_integer(),
          atom(),
          reference()
        ) :: {:ok, term()} | {:pending, reference()} | failure()
  def call(_host, _target, _operation, _payload, _from, _timeout_ms, _execution, _reference),
    do: not_loaded()

  @spec call_large(
          reference(),
          String.t(),
          String.t(),
          list(),
          Exosuit.Origin.from(),
          non_neg_integer(),
          reference()
        ) :: {:pending, reference()} | failure()
  def call_large(_host, _target, _operation, _arguments, _from, _timeout_ms, _reference),
    do: not_loaded()

  @spec call_cancel(reference()) :: :ok
  def call_cancel(_call), do: not_loaded()

  @spec claims_admit(binary(), :any | [String.t()], boolean(), boolean()) ::
          {:ok, map() | :unsigned} | failure()
  def claims_admit(_bytes, _issuers, _unsigned?, _legacy_hash?), do: not_loaded()

  @spec claims_know(reference(), String.t(), map()) :: :ok | failure()
  def claims_know(_host, _key, _claims), do: not_loaded()

  @spec claims_forget(reference(), String.t()) :: :ok | failure()
  def claims_forget(_host, _key), do: not_loaded()

  @spec key_generate(String.t()) :: {:ok, {String.t(), String.t()}} | failure()
  def key_generate(_kind), do: not_loaded()

  @spec key_public(String.t(), String.t()) :: {:ok, String.t()} | failure()
  def key_public(_kind, _seed), do: not_loaded()

  @spec secret_new(String.t()) :: {:ok, reference()} | failure()
  def secret_new(_text), do: not_loaded()

  @spec secret_from_file(Path.t()) :: {:ok, reference()} | failure()
  def secret_from_file(_path), do: not_loaded()

  @spec secret_generate(String.t()) :: {:ok, {String.t(), reference()}} | failure()
  def secret_generate(_kind), do: not_loaded()

  @spec secret_public_key(reference(), String.t()) :: {:ok, String.t()} | failure()
  def secret_public_key(_seed, _kind), do: not_loaded()

  @spec secret_hosts(reference()) :: [String.t()]
  def secret_hosts(_servers), do: not_loaded()

  @spec path_resolve(Path.t()) :: Path.t() | nil
  def path_resolve(_path), do: not_loaded()

  @spec digest(binary()) :: String.t()
  def digest(_bytes), do: not_loaded()

  @type variable ::
          {name :: String.t(), role :: atom(), kind :: atom(), doc :: String.t()}

  @spec name_check(String.t(), binary()) :: :ok | failure()
  def name_check(_kind, _text), do: not_loaded()

  @spec reference_parse(binary()) ::
          {:ok, {:file | :builtin | :module | :registry, String.t()}} | failure()
  def reference_parse(_text), do: not_loaded()

  @spec reference_refusal(String.t()) :: String.t()
  def reference_refusal(_image), do: not_loaded()

  @spec bounds() :: [{String.t(), non_neg_integer(), pos_integer(), String.t()}]
  def bounds, do: not_loaded()

  @spec variables() :: [variable()]
  def variables, do: not_loaded()

  @spec variable_find(String.t()) :: variable() | nil
  def variable_find(_name), do: not_loaded()

  @spec variable_nearest(String.t()) :: String.t() | nil
  def variable_nearest(_name), do: not_loaded()

  @spec manifest_parse(binary(), Path.t(), [String.t()] | nil) ::
          {:ok, map()} | {:error, [map()]}
  def manifest_parse(_text, _path, _host), do: not_loaded()

  @spec manifest_document(binary()) :: {:ok, term()} | {:error, [map()]}
  def manifest_document(_text), do: not_loaded()

  @spec json_decode(binary()) :: {:ok, term()} | failure()
  def json_decode(_text), do: not_loaded()

  @spec json_encode(term()) :: {:ok, String.t()} | failure()
  def json_encode(_value), do: not_loaded()

  @doc false
  def load, do: :erlang.load_nif(~c"#{:code.priv_dir(:exosuit)}/native/exosuit_nif", 0)

  defp not_loaded, do: :erlang.nif_error(:not_loaded)
end
