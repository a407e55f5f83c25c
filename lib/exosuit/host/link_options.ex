defmodule Exosuit.Host.LinkOptions do
  @moduledoc """
  The options that describe a link, `Exosuit.put_link/2`, and those that name it, `Exosuit.delete_link/2`.

  The schemas are the only list of these options; the docs of `Exosuit` are generated from them. This module checks the
  form of the values. `Exosuit.Host.Linking` checks the ids of the ends, and the router checks the link itself.
  """

  alias Exosuit.{Input, Options}
  alias Exosuit.Model.Link

  @contract {"a contract like \"wasmcloud:keyvalue\"", &__MODULE__.contract?/1}
  @key [
    source: [
      type: :string,
      doc: "the id or public key of the caller: an actor, or a provider that calls a component."
    ],
    contract: [type: @contract, doc: "the capability that the link is for."],
    name: [
      type: :string,
      default: "default",
      doc: "distinguishes several links for one contract."
    ]
  ]
  @link @key ++
          [
            target: [type: :string, doc: "the id or key of the provider, or of another actor."],
            interfaces: [
              type: {"a list of names of interfaces", &__MODULE__.interfaces?/1},
              default: [],
              doc:
                "the interfaces of the package that the link covers, `[\"store\"]`; `[]` means all."
            ],
            source_config: [
              type: :string_map,
              default: %{},
              doc: "the configuration of the source."
            ],
            target_config: [
              type: :string_map,
              default: %{},
              doc: "the configuration of the target."
            ],
            source_configs: [
              type: :names,
              default: [],
              doc: "names of stored configurations (`put_config/3`), instead of `:source_config`."
            ],
            target_configs: [type: :names, default: [], doc: "the same for `:target_config`."],
            outlives: [
              type: :boolean,
              default: false,
              doc:
                "whether different code that later runs under the id of a stopped actor gets the link."
            ]
          ]

  @doc "The options of a link, as Markdown."
  @spec docs() :: String.t()
  def docs, do: Options.docs(@link)

  @doc """
  The link that these options describe. Raises `ArgumentError` with what was expected.

      iex> link = Exosuit.Host.LinkOptions.link!(source: "shop", target: "kv", contract: "wasi:keyvalue")
      iex> {link.namespace, link.package, link.name, link.interfaces}
      {"wasi", "keyvalue", "default", []}
  """
  @spec link!(keyword()) :: Link.t()
  def link!(options) do
    {contract, fields} = options |> Options.validate!(@link) |> Keyword.pop!(:contract)
    [namespace, package] = String.split(contract, ":", parts: 2)
    struct!(Link, [namespace: namespace, package: package] ++ fields)
  end

  @doc """
  The key of a link from its `:source`, `:contract` and `:name`. Raises as `link!/1` does.

      iex> Exosuit.Host.LinkOptions.key!(source: "shop", contract: "wasi:keyvalue")
      {"shop", "wasi:keyvalue", "default"}
  """
  @spec key!(keyword()) :: Link.key()
  def key!(options) do
    [source: source, contract: contract, name: name] = Options.validate!(options, @key)
    {source, contract, name}
  end

  @doc false
  def contract?(text), do: Input.name?(:contract, text)

  @doc false
  def interfaces?(names) do
    is_list(names) and not List.improper?(names) and
      Enum.all?(names, &Input.name?(:interface, &1))
  end
end
