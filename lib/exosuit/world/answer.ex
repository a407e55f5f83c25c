defmodule Exosuit.World.Answer do
  @moduledoc """
  Says who answers an import of a component, or a contract that the token of a module names. See
  `Exosuit.describe/3`.

  - `import`: the import (`"wasi:keyvalue/store@0.2.0-draft"`), or the contract (`"wasmcloud:keyvalue"`).
  - `by`: `:host` is the host itself; `:link` is the target of a link; with `:nobody`, calls fail; with `:nothing`,
    the import has only types, so there is nothing to call.
  - `contract`: the contract that a link needs to cover the import.
  - `links`: the links of the actor that cover the import. `kind` is `:actor` or `:provider`, or nil if the target does
    not run on this host. `target_status` is the target's status, `status` that of the link, and `error` says why the
    link is refused.
  - `text`: all of this as a sentence.

  Rust finds the answers (`exosuit_inspect`), by the rules of the router. This module only decodes them.
  """

  @typedoc "A link that covers the import, with the state of its target on the host."
  @type link :: %{
          name: String.t(),
          target: String.t(),
          kind: :actor | :provider | nil,
          target_status: String.t() | nil,
          status: String.t(),
          error: String.t() | nil
        }

  @type t :: %__MODULE__{
          import: String.t(),
          by: :host | :link | :nobody | :nothing,
          contract: String.t() | nil,
          links: [link()],
          text: String.t()
        }

  @enforce_keys [:import, :by, :contract, :links, :text]
  defstruct [:import, :by, :contract, :links, :text]

  @by %{"host" => :host, "link" => :link, "nobody" => :nobody, "nothing" => :nothing}
  @kinds %{nil => nil, "actor" => :actor, "provider" => :provider}

  @doc false
  @spec decode(map()) :: t()
  def decode(answer) do
    %__MODULE__{
      import: answer["import"],
      by: Map.fetch!(@by, answer["by"]),
      contract: answer["contract"],
      links: Enum.map(answer["links"], &link/1),
      text: answer["text"]
    }
  end

  defp link(link) do
    %{
      name: link["name"],
      target: link["target"],
      kind: Map.fetch!(@kinds, link["kind"]),
      target_status: link["target_status"],
      status: link["status"],
      error: link["error"]
    }
  end
end
