defmodule Exosuit.Model.Command.Table do
  @moduledoc """
  Defines the structs of commands, so that the table of `Exosuit.Model.Command` says each thing once.

  `defcommand Name, "What it does.", field: type(), field: type() \\\\ default` defines a module with a struct, its type
  `t`, and the text as its moduledoc. A field without a default is enforced. The type `t` of the table is the union of
  all its structs.

  `inspect/1` leaves out the fields of certain names (`@secret`) of every command. A new field that may hold a secret
  must have one of these names, or the list needs its name.
  """

  # Fields of these names may hold secrets, and the log of a task that crashes shows its arguments.
  @secret ~w(config values source_config target_config payload registries text)a

  defmacro __using__(_options) do
    quote do
      import unquote(__MODULE__), only: [defcommand: 2, defcommand: 3]
      Module.register_attribute(__MODULE__, :commands, accumulate: true)
      @before_compile unquote(__MODULE__)
    end
  end

  defmacro __before_compile__(env) do
    types =
      for module <- Module.get_attribute(env.module, :commands),
          do: quote(do: unquote(module).t())

    union = Enum.reduce(types, fn type, union -> quote(do: unquote(type) | unquote(union)) end)

    quote do
      @typedoc "A command."
      @type t :: unquote(union)
    end
  end

  defmacro defcommand(name, doc, fields \\ []) do
    fields = Enum.map(fields, &field/1)
    required = for {key, _type, :required} <- fields, do: key
    defaults = for {key, _type, {:default, default}} <- fields, do: {key, default}
    types = for {key, type, _default} <- fields, do: {key, type}
    hidden = Enum.filter(Keyword.keys(types), &(&1 in @secret))

    quote do
      defmodule unquote(name) do
        @moduledoc unquote(doc)

        @type t :: %__MODULE__{unquote_splicing(types)}

        @derive {Inspect, except: unquote(hidden)}
        @enforce_keys unquote(required)
        defstruct unquote(required) ++ unquote(defaults)
      end

      @commands unquote(name)
    end
  end

  defp field({key, {:\\, _meta, [type, default]}}), do: {key, local(type), {:default, default}}
  defp field({key, type}), do: {key, local(type), :required}

  # The types of the table are those of the module around the struct's.
  defp local(type) do
    Macro.prewalk(type, fn
      {name, _meta, []} when name in [:code, :config, :values] ->
        quote(do: Exosuit.Model.Command.unquote(name)())

      other ->
        other
    end)
  end
end
