defmodule Exosuit.Http do
  @moduledoc """
  An HTTP/1.1 client for tests, on a plain socket: what is sent is what the test says.
  """

  @timeout 30_000

  @doc "A connection to a port of this machine."
  @spec connect(:inet.port_number()) :: {:ok, :gen_tcp.socket()} | {:error, :inet.posix()}
  def connect(port) do
    options = [:binary, active: false, packet: :http_bin, nodelay: true]
    :gen_tcp.connect({127, 0, 0, 1}, port, options, @timeout)
  end

  @doc "One request over a connection of its own: `{status, body}`, or `{:error, reason}`."
  @spec request(:inet.port_number(), String.t(), String.t(), iodata()) ::
          {pos_integer(), binary()} | {:error, term()}
  def request(port, method, path, body \\ "") do
    with {:ok, socket} <- connect(port) do
      answer = exchange(socket, method, path, body)
      :gen_tcp.close(socket)
      answer
    end
  end

  @doc "A request over a connection that stays open."
  @spec exchange(:gen_tcp.socket(), String.t(), String.t(), iodata()) ::
          {pos_integer(), binary()} | {:error, term()}
  def exchange(socket, method, path, body \\ "") do
    head =
      "#{method} #{path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: #{IO.iodata_length(body)}\r\n\r\n"

    with :ok <- :gen_tcp.send(socket, [head, body]), do: response(socket)
  end

  defp response(socket) do
    with {:ok, status, framing} <- head(socket),
         {:ok, body} <- body(socket, framing),
         do: {status, body}
  end

  @doc "The status of the next response, and how its body is framed: its length, or `:chunked`."
  @spec head(:gen_tcp.socket()) ::
          {:ok, pos_integer(), non_neg_integer() | :chunked} | {:error, term()}
  def head(socket) do
    with :ok <- :inet.setopts(socket, packet: :http_bin),
         {:ok, {:http_response, _version, status, _reason}} <- :gen_tcp.recv(socket, 0, @timeout),
         {:ok, framing} <- framing(socket, 0),
         do: {:ok, status, framing}
  end

  defp framing(socket, framing) do
    case :gen_tcp.recv(socket, 0, @timeout) do
      {:ok, {:http_header, _, :"Content-Length", _, value}} ->
        framing(socket, String.to_integer(value))

      {:ok, {:http_header, _, :"Transfer-Encoding", _, "chunked"}} ->
        framing(socket, :chunked)

      {:ok, {:http_header, _, _name, _, _value}} ->
        framing(socket, framing)

      {:ok, :http_eoh} ->
        {:ok, framing}

      {:error, reason} ->
        {:error, reason}
    end
  end

  defp body(_socket, 0), do: {:ok, ""}

  defp body(socket, :chunked) do
    with {:ok, parts} <- chunks(socket, []), do: {:ok, IO.iodata_to_binary(parts)}
  end

  defp body(socket, length) do
    with :ok <- :inet.setopts(socket, packet: :raw), do: :gen_tcp.recv(socket, length, @timeout)
  end

  defp chunks(socket, parts) do
    case chunk(socket) do
      {:ok, ""} -> {:ok, Enum.reverse(parts)}
      {:ok, part} -> chunks(socket, [part | parts])
      {:error, reason} -> {:error, reason}
    end
  end

  @doc "The next chunk of a chunked body; empty at its end."
  @spec chunk(:gen_tcp.socket()) :: {:ok, binary()} | {:error, term()}
  def chunk(socket) do
    with :ok <- :inet.setopts(socket, packet: :line),
         {:ok, line} <- :gen_tcp.recv(socket, 0, @timeout),
         {size, "\r\n"} <- Integer.parse(line, 16),
         :ok <- :inet.setopts(socket, packet: :raw),
         {:ok, part} <- :gen_tcp.recv(socket, size + 2, @timeout),
         do: {:ok, binary_part(part, 0, size)}
  end
end
