defmodule Exosuit.World do
  @moduledoc """
  The imports and exports of a component, read from WIT or from the component itself.

  A world has interfaces. An interface has functions and types. Types are atoms and tagged tuples:

  | WIT | in these structs |
  |---|---|
  | `bool`, `u8` … `s64`, `f32`, `f64`, `char`, `string` | `:bool`, `:u8` … |
  | `list<T>`, `option<T>` | `{:list, t}`, `{:option, t}` |
  | `tuple<T, U>` | `{:tuple, [t, u]}` |
  | `result<T, E>` | `{:result, t \\| nil, e \\| nil}` |
  | a type with a name | `{:named, interface \\| nil, name}` |
  | `own<T>`, `borrow<T>` | `{:own, interface, name}`, `{:borrow, interface, name}` |
  | `stream<T>`, `future<T>`, `map<K, V>`, `list<T, N>` | `{:stream, t}`, `{:future, t}`, `{:map, k, v}`, `{:list, t, n}` |

  Names are strings with the hyphens of WIT. Reading a file does not create atoms.
  """

  alias Exosuit.{Claims, Config, Error, Native}
  alias Exosuit.World.{Answer, Description, Exports, Function, Interface}

  @type type :: atom() | tuple()

  @type t :: %__MODULE__{
          name: String.t(),
          docs: String.t() | nil,
          imports: [Interface.t()],
          exports: [Interface.t()]
        }

  @enforce_keys [:name, :docs, :imports, :exports]
  defstruct [:name, :docs, :imports, :exports]

  @primitives ~w(bool u8 u16 u32 u64 s8 s16 s32 s64 f32 f64 char string)a
  @kinds %{
    "component" => :component,
    "wasmbus-module" => :wasmbus_module,
    "program" => :program,
    "module" => :module,
    "wit-package" => :wit_package
  }
  @names Map.new(@primitives, &{Atom.to_string(&1), &1})

  @doc """
  Reads a world from a component, or from a directory or file of WIT with its `deps`. If there is only one world,
  `name` may be `nil`. Blocks the calling process.
  """
  @spec read(Path.t(), String.t() | nil) :: {:ok, t()} | {:error, Error.t()}
  def read(path, name \\ nil) do
    with {:ok, world} <- result(Native.inspect_world(path, name)), do: {:ok, decode(world)}
  end

  @doc """
  Reads an interface by its name, such as `acme:kv/store`. If there are several versions, the name must include the
  version: `acme:kv/store@1.0.0`. Blocks the calling process.
  """
  @spec read_interface(Path.t(), String.t()) :: {:ok, Interface.t()} | {:error, Error.t()}
  def read_interface(path, name) do
    with {:ok, interface} <- result(Native.inspect_interface(path, name)),
         do: {:ok, interface(interface)}
  end

  @doc "Returns the comment of a world, or a sentence with its name."
  @spec docs(t()) :: String.t()
  def docs(%__MODULE__{docs: nil, name: name}), do: "The world `#{name}`."
  def docs(%__MODULE__{docs: docs}), do: docs

  @doc """
  Describes the bytes of a Wasm file without compiling them. `on` has the inventory of a host, and the id of the code
  on that host, if any. Blocks the calling process.
  """
  @spec describe(binary(), {String.t() | nil, map()} | nil) ::
          {:ok, Description.t()} | {:error, Error.t()}
  def describe(bytes, on \\ nil) do
    claims = claims(bytes)

    with {:ok, read} <- result(Native.inspect_wasm(bytes)),
         {:ok, answers} <- answers(bytes, claims, on),
         {:ok, unanswered} <- result(Native.engine_unanswered(bytes)) do
      {:ok,
       %Description{
         kind: Map.fetch!(@kinds, read["kind"]),
         size: read["size"],
         world: read["world"] && decode(read["world"]),
         module: read["module"] && core(read["module"]),
         producers: read["producers"],
         core_modules: read["core_modules"],
         needs: needs(read["needs"]),
         claims: claims,
         answers: Enum.map(answers, &Answer.decode/1),
         unanswered: unanswered
       }}
    end
  end

  @doc """
  Checks whether a component has all exports of a world, before it runs.

      {:ok, wanted} = Exosuit.World.read("wit", "plugin")
      {:ok, %{world: world}} = Exosuit.describe("plugin.wasm")
      :ok = Exosuit.World.check_exports(world, wanted)

  Types must have the same fields and cases; the names of types may differ. The error is `:invalid_module`, and names
  the first difference: `transform: order.lines[].price: expected f64, got u32`.
  """
  @spec check_exports(t(), t()) :: :ok | {:error, Error.t()}
  def check_exports(%__MODULE__{} = world, %__MODULE__{} = wanted) do
    case Exports.difference(world, wanted) do
      nil -> :ok
      difference -> {:error, Error.new(:invalid_module, difference)}
    end
  end

  defp answers(bytes, claims, on) do
    {id, inventory} = on || {nil, nil}
    {key, capabilities} = named(claims)
    asker = %{names: Enum.filter([id, key], & &1), capabilities: capabilities}
    result(Native.inspect_answers(bytes, asker, inventory && joined(inventory)))
  end

  # An unsigned actor may use what it is linked to.
  defp named(%Claims{} = claims), do: {claims.subject, claims.capabilities}
  defp named(_unsigned), do: {nil, nil}

  defp joined(inventory) do
    items = fn items -> Enum.map(items, &Map.take(&1, [:id, :public_key, :status])) end

    %{
      actors: items.(inventory.actors),
      providers: items.(inventory.providers),
      links: inventory.links
    }
  end

  defp needs(needs) do
    %{
      instances: needs["instances"],
      memories: needs["memories"],
      tables: needs["tables"],
      memory: needs["memory"]
    }
  end

  # Accepts any issuer, because trust is the decision of a host.
  defp claims(bytes) do
    anybody = struct!(Config, trusted_issuers: :any, unsigned: :allow, legacy_hash: :check)

    case Claims.admit(bytes, anybody) do
      {:ok, claims} -> claims
      {:error, error} -> error
    end
  end

  defp core(%{"imports" => imports, "exports" => exports}),
    do: %{imports: for([from, name] <- imports, do: {from, name}), exports: exports}

  defp decode(%{"name" => name, "docs" => docs, "imports" => imports, "exports" => exports}) do
    %__MODULE__{
      name: name,
      docs: docs,
      imports: Enum.map(imports, &interface/1),
      exports: Enum.map(exports, &interface/1)
    }
  end

  defp result({:ok, read}), do: {:ok, read}
  defp result({:error, failure}), do: {:error, Error.from_native(failure)}

  defp interface(%{"name" => name, "docs" => docs, "functions" => functions, "types" => types}) do
    %Interface{
      name: name,
      docs: docs,
      functions: Enum.map(functions, &function/1),
      types: Enum.map(types, &definition/1)
    }
  end

  defp function(function) do
    %Function{
      name: function["name"],
      resource: function["resource"],
      async?: function["is_async"],
      docs: function["docs"],
      parameters:
        for(%{"name" => name, "type" => type} <- function["parameters"], do: {name, type(type)}),
      result: function["result"] && type(function["result"]),
      signature: function["signature"]
    }
  end

  defp definition(%{"name" => name, "docs" => docs, "shape" => shape}),
    do: %{name: name, docs: docs, shape: shape(shape)}

  defp shape("resource"), do: :resource
  defp shape(%{"alias" => type}), do: {:alias, type(type)}
  defp shape(%{"record" => fields}), do: {:record, Enum.map(fields, &part/1)}
  defp shape(%{"variant" => cases}), do: {:variant, Enum.map(cases, &part/1)}
  defp shape(%{"enum" => cases}), do: {:enum, Enum.map(cases, &part/1)}
  defp shape(%{"flags" => flags}), do: {:flags, Enum.map(flags, &part/1)}

  defp part(%{"name" => name, "docs" => docs, "type" => type}),
    do: %{name: name, docs: docs, type: type && type(type)}

  defp type(%{"primitive" => name}), do: Map.get(@names, name, :error_context)
  defp type(%{"list" => type}), do: {:list, type(type)}
  defp type(%{"fixed-length-list" => [type, length]}), do: {:list, type(type), length}
  defp type(%{"map" => [key, value]}), do: {:map, type(key), type(value)}
  defp type(%{"tuple" => types}), do: {:tuple, Enum.map(types, &type/1)}
  defp type(%{"option" => type}), do: {:option, type(type)}
  defp type(%{"result" => [ok, error]}), do: {:result, ok && type(ok), error && type(error)}
  defp type(%{"stream" => type}), do: {:stream, type && type(type)}
  defp type(%{"future" => type}), do: {:future, type && type(type)}
  defp type(%{"named" => named}), do: named(:named, named)
  defp type(%{"own" => named}), do: named(:own, named)
  defp type(%{"borrow" => named}), do: named(:borrow, named)

  defp named(tag, %{"interface" => interface, "name" => name}), do: {tag, interface, name}
end
