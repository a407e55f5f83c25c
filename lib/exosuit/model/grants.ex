defmodule Exosuit.Model.Grants do
  @moduledoc """
  The parts of its host that an actor may see by WASI: none but those named here. Clocks, random numbers and the log
  need no grant; requests to other hosts go through a link.

  - `arguments`: its command line, behind the name of the program
  - `environment`: its environment variables
  - `directories`: directories of this machine, each with its path in the guest. No path and no symbolic link leads
    out of one. If a directory does not exist, the actor does not start

  ## Bounds

  | part | must be |
  |---|---|
  | an argument | text without a zero byte, which would end it for the guest |
  | a variable | the same; its name is not empty and has no `=` |
  | a directory | a path on the host, and an absolute path in the guest without `.` and `..` |
  | directories together | at most 16, each with another path in the guest: each call opens all of them |

  The functions that end in `?` check terms from outside, of any form. `new/1` expects terms that they accepted.
  """

  @typedoc "A directory of this machine, and where and how the guest sees it. `:write` allows reading as well."
  @type directory :: %{host: Path.t(), guest: String.t(), access: :read | :write}
  @type t :: %__MODULE__{
          arguments: [String.t()],
          environment: %{optional(String.t()) => String.t()},
          directories: [directory()]
        }

  defstruct arguments: [], environment: %{}, directories: []

  # Each call opens all directories.
  @max_directories 16

  @doc """
  Grants from checked options: makes paths absolute, and fills in `:access`.

      iex> grants = Exosuit.Model.Grants.new(directories: [[host: "/srv/data", guest: "/data"]])
      iex> grants.directories
      [%{host: "/srv/data", guest: "/data", access: :read}]
  """
  @spec new(keyword()) :: t()
  def new(options) do
    grants = struct!(__MODULE__, options)
    %{grants | directories: Enum.map(grants.directories, &directory/1)}
  end

  @doc """
  The fields that inventories show: names without values, which may be secrets.

      iex> grants = Exosuit.Model.Grants.new(environment: %{"TOKEN" => "s3cret"}, arguments: ["-v"])
      iex> Exosuit.Model.Grants.public(grants)
      %{arguments: 1, environment: ["TOKEN"], directories: []}
  """
  @spec public(t()) :: map()
  def public(%__MODULE__{} = grants) do
    %{
      arguments: length(grants.arguments),
      environment: grants.environment |> Map.keys() |> Enum.sort(),
      directories: grants.directories
    }
  end

  @doc """
  Whether this may be a command line.

      iex> Enum.map([["-v"], ["a\\0b"], "-v"], &Exosuit.Model.Grants.arguments?/1)
      [true, false, false]
  """
  @spec arguments?(term()) :: boolean()
  def arguments?(arguments), do: list?(arguments) and Enum.all?(arguments, &text?/1)

  @doc """
  Whether this may be an environment.

      iex> Enum.map([%{"A" => "1"}, %{"A=B" => "1"}, %{a: "1"}], &Exosuit.Model.Grants.environment?/1)
      [true, false, false]
  """
  @spec environment?(term()) :: boolean()
  def environment?(environment) do
    is_map(environment) and not is_struct(environment) and
      Enum.all?(environment, fn {name, value} -> name?(name) and text?(value) end)
  end

  @doc """
  Whether these may be directories, each with a name of its own: maps, or keyword lists.

      iex> Exosuit.Model.Grants.directories?([%{host: "/srv", guest: "/data", access: :write}])
      true
      iex> Exosuit.Model.Grants.directories?([%{host: "/srv", guest: "/data/../etc"}])
      false
  """
  @spec directories?(term()) :: boolean()
  def directories?(directories) do
    list?(directories) and length(directories) <= @max_directories and
      Enum.all?(directories, &directory?/1) and unique?(Enum.map(directories, & &1[:guest]))
  end

  defp directory(given) do
    given = Map.new(given)
    %{host: Path.expand(given.host), guest: given.guest, access: given[:access] || :read}
  end

  defp directory?(given) when is_list(given) do
    Keyword.keyword?(given) and unique?(Keyword.keys(given)) and directory?(Map.new(given))
  end

  defp directory?(%{host: host, guest: guest} = given) when not is_struct(given) do
    Map.keys(given) -- [:access, :guest, :host] == [] and text?(host) and host != "" and
      guest?(guest) and Map.get(given, :access, :read) in [:read, :write]
  end

  defp directory?(_other), do: false

  defp guest?("/"), do: true

  defp guest?("/" <> names = guest) do
    text?(guest) and names |> String.split("/") |> Enum.all?(&(&1 not in ["", ".", ".."]))
  end

  defp guest?(_other), do: false

  defp name?(name), do: text?(name) and name != "" and not String.contains?(name, "=")

  # A zero byte would end the text for the guest.
  defp text?(text) do
    is_binary(text) and String.valid?(text) and not String.contains?(text, <<0>>)
  end

  defp list?(list), do: is_list(list) and not List.improper?(list)
  defp unique?(names), do: Enum.uniq(names) == names

  defimpl Inspect do
    alias Exosuit.Model.Grants

    def inspect(grants, options) do
      Inspect.Algebra.concat([
        "#Exosuit.Model.Grants<",
        Inspect.Algebra.to_doc(Grants.public(grants), options),
        ">"
      ])
    end
  end
end
